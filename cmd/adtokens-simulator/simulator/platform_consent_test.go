package simulator_test

import (
	"net/url"
	"strings"
	"testing"
)

func TestPlatform_ConsentPageAsksAPerson(t *testing.T) {
	t.Parallel()
	s := newShop(t, "linkedin_ads", "oauth_client")
	address := s.url + "/oauth/v2/authorization?" + url.Values{
		"response_type": {"code"}, "client_id": {s.fields["client_id"]}, "redirect_uri": {"https://app.example/back?x=1"}, "state": {"abc"},
	}.Encode()
	page := send(t, request{method: "GET", url: address})
	page.wants(t, "the page", 200, `<form method="post">`)
	page.wants(t, "the page", 200, "app.example")
	for answer, wanted := range map[string]string{"allow": "code", "deny": "error", "": "error"} {
		sent := send(t, request{method: "POST", url: address, form: url.Values{"answer": {answer}}})
		back, err := url.Parse(sent.header.Get("Location"))
		if err != nil || sent.status != 302 || !strings.HasPrefix(back.String(), "https://app.example/back?") {
			t.Fatalf("%q: status %d", answer, sent.status)
		}
		if q := back.Query(); q.Get(wanted) == "" || q.Get("state") != "abc" || q.Get("x") != "1" || q.Has("code") != (answer == "allow") {
			t.Errorf("%q: the browser is sent back without %s", answer, wanted)
		}
	}
	send(t, request{method: "POST", url: strings.Replace(address, "app.example", "", 1), form: url.Values{"answer": {"allow"}}}).wants(t, "no host", 400, "")
	send(t, request{method: "GET", url: strings.Replace(address, "https", "", 1)}).wants(t, "no address", 400, "")
}
