package backend

import "github.com/prometheus/client_golang/prometheus"

// Values of the label `outcome` of messages.
const (
	notifySent    = "sent"
	notifyFailed  = "failed"
	notifyDropped = "dropped"
)

// notified counts messages of a notification.
func (m *metrics) notified(name, outcome string, n int) {
	m.messages.WithLabelValues(name, outcome).Add(float64(n))
}

// knowNotification has all series of a notification begin, so that the first of a kind is an increase.
func (m *metrics) knowNotification(name string) {
	for _, outcome := range []string{notifySent, notifyFailed, notifyDropped} {
		m.notified(name, outcome, 0)
	}
}

func (m *metrics) forgetNotification(name string) {
	m.messages.DeletePartialMatch(prometheus.Labels{"notification": name})
}
