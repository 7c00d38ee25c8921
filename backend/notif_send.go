package backend

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/webhook"
)

const (
	// firstNotifyRetry and lastNotifyRetry bound the wait for a receiver that does not take a message. The wait doubles each time.
	firstNotifyRetry = 5 * time.Second
	lastNotifyRetry  = 10 * time.Minute
	// longestAskedWait is how long a receiver can ask to be left alone.
	longestAskedWait = time.Hour
	// answerPatience is how long the body of an answer is waited for, and answerSize how much of it is read, so that its connection can
	// be used again. What it says does not count.
	answerPatience = time.Second
	answerSize     = 4096
)

// delivery is how a try to send a message has ended.
type delivery struct {
	// ok says that the receiver has taken the message: any status of 2xx, whatever follows it.
	ok bool
	// status is the HTTP status, 0 where no answer came.
	status int
	// detail is a sentence for an operator. It has nothing of the answer but its status, and the one word of a chat.
	detail string
	// refused says that the receiver does not take this message; others it may take.
	refused bool
	// retryAfter is how long the receiver asks to wait.
	retryAfter time.Duration
}

// send tries to send a message once.
func (n *notification) send(ctx context.Context, m *message) delivery {
	body, err := m.body(n.format())
	if err != nil {
		return delivery{refused: true, detail: "the message could not be encoded"}
	}
	// The timer that ends the reading of the answer ends the request too.
	ctx, cancel := context.WithTimeout(ctx, notificationTimeout)
	defer cancel()
	request, err := webhook.Message{
		URL: n.Settings[fieldNotifyURL], Secret: n.Settings[fieldNotifySecret], ID: m.ID, Body: body,
	}.Request(ctx, time.Now())
	if err != nil {
		return delivery{detail: "the receiver cannot be called: " + err.Error()}
	}
	response, err := n.client.Do(request)
	if err != nil {
		return delivery{detail: n.noAnswer(request.URL, err)}
	}
	defer response.Body.Close()
	defer time.AfterFunc(answerPatience, cancel).Stop()
	answer, _ := io.ReadAll(io.LimitReader(response.Body, answerSize)) // the status is what counts
	return n.judge(request.URL.Host, response, answer)
}

// noAnswer says why no answer came, without the address.
func (n *notification) noAnswer(address *url.URL, err error) string {
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted {
		return address.Host + " has a TLS certificate that is not trusted, or not valid now; if a private CA signed it, give " + fieldNotifyCACert
	}
	return provider.TransportError(address.Host, err).Error()
}

// slackCode is what Slack says of a message that it does not take, such as channel_is_archived.
var slackCode = provider.Pattern(`^[a-z]{1,20}(?:_[a-z]{1,20}){0,4}$`)

// judge says what an answer means.
func (n *notification) judge(host string, response *http.Response, answer []byte) delivery {
	d := delivery{status: response.StatusCode}
	switch d.status / 100 {
	case 2:
		d.ok, d.detail = true, fmt.Sprintf("%s has taken the message (HTTP %d)", host, d.status)
		return d
	case 3:
		d.detail = fmt.Sprintf("%s answered with a redirect (HTTP %d), which is not followed: set the final address", host, d.status)
		return d
	}
	d.retryAfter = min(provider.RetryAfter(response.Header), longestAskedWait)
	d.detail = fmt.Sprintf("%s did not take the message (HTTP %d)", host, d.status)
	if code := strings.TrimSpace(string(answer)); n.format() == formatSlack && slackCode().MatchString(code) {
		d.detail += ": " + code
	}
	switch d.status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity,
		http.StatusConflict, http.StatusUnsupportedMediaType:
		d.refused = true
	case http.StatusUnauthorized, http.StatusForbidden:
		if n.format() == formatStandard {
			d.detail += "; check that it has the same secret, and that both clocks are right"
		}
	case http.StatusNotFound, http.StatusGone, http.StatusMethodNotAllowed:
		d.detail += "; check the address"
	}
	return d
}
