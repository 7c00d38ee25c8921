//go:build unix

package console

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// Somebody resets a token at the platform; the person sees it, follows the steps, pastes the wrong value and then the right one.
func TestStory_DriftAndReset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	values := w.importImpact(t)
	fresh := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	b := w.tab(t)
	b.signIn(w.person(t, "jane"))
	b.press("acme-rw")
	b.see("Replace it")
	b.press("Check it now")
	b.see("The platform refuses it", "Sign in to impact.com", "Open app.impact.com")
	b.open(w.at(""))
	b.see("Does not work", "programs that use it fail now")
	b.press("acme-rw")
	b.see("Step by step")

	b.fill("input[name=auth_token]", values.ReadOnly.AuthToken)
	b.fill("input[name=reason]", "it was reset")
	b.press("Publish the new value")
	b.see("Refused. Nothing was changed")
	b.holdsNot(values.ReadOnly.AuthToken)
	if got := w.data(t, "tokens/acme-rw")["version"]; fmt.Sprint(got) != "1" {
		t.Errorf("the version is %v", got)
	}

	b.fill("input[name=auth_token]", fresh.AuthToken)
	b.fill("input[name=reason]", "it was reset")
	b.press("Publish the new value")
	b.see("Published. Version 2 is in use now.", "The old value does not work any more", "it was reset", "Pasted by a person")
	b.holdsNot(fresh.AuthToken, values.ReadOnly.AuthToken)
	if got := w.data(t, "creds/acme-rw"); got["auth_token"] != fresh.AuthToken {
		t.Error("the app does not have the new value")
	}
	b.open(w.at(""))
	b.see("Nothing to do. All 2 tokens work")
}

// A person agrees at the platform, and the browser comes back by itself.
func TestStory_Consent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	client := w.importGoogle(t)
	w.write(t, "tokens/acme-app", fields{"account": "acme-google", "type": "oauth_client"})
	b := w.tab(t)
	b.signIn(w.person(t, "jane"))
	b.press("acme-app")
	b.see("By agreeing at the platform")
	b.fill("#consent-client_id", client.ClientID)
	b.fill("#consent-client_secret", client.ClientSecret)
	b.press("Begin")
	b.see("Go to accounts.google.com", "ten minutes")
	b.agree()
	b.see("Published. Version 1 is in use now.", "A person agreed at the platform")
	b.holdsNot("code=", "state=", client.ClientSecret)
	address := eval[string](b, "location.pathname + location.hash")
	if address != w.at("tokens/acme-app")+"#result" {
		t.Errorf("the browser is at %s", address)
	}

	b.press("Begin")
	b.see("Go to accounts.google.com")
	b.refuse()
	b.see("Refused. Nothing was changed", "access_denied")
}

// agree presses Allow at the simulated Google, to which the name of the real one leads here.
func (b *tab) agree()  { b.answer("allow") }
func (b *tab) refuse() { b.answer("deny") }

func (b *tab) answer(button string) {
	b.t.Helper()
	address := eval[string](b, `document.querySelector("a.button").href`)
	simulated := strings.Replace(address, "https://accounts.google.com", b.w.sim.GoogleURL, 1)
	eval[string](b, `document.querySelector("a.button").href = `+fmt.Sprintf("%q", simulated)) // the rest is a person's click
	b.press("Go to accounts.google.com")
	b.run("answering", chromedp.Click(chromedp.CSS(`button[value=`+button+`]`)))
}

// A campaign is previewed, begun, and ticked off as a person resets what it lists.
func TestStory_Campaign(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.needsCampaigns(t)
	w.importImpact(t)
	b := w.tab(t)
	b.signIn(w.person(t, "jane"))
	b.press("Campaigns")
	b.see("There are no campaigns yet")
	b.press("Start a campaign")
	b.see("Which tokens?")
	b.run("naming it", chromedp.SetValue(chromedp.CSS("#name"), "joe-leaves")) // in place of the one that is there
	b.fill("#reason", "Joe has left")
	b.fill("#tokens", "acme-*")
	b.press("Show what would be replaced")
	b.see("This would replace 2 tokens", "2 have to be reset by a person", "acme-rw", "acme-ro")
	b.press("Start, and replace 2 tokens")
	b.see("0 of 2", "To do by a person: 2")

	b.press("acme-rw")
	b.see("Step by step")
	fresh := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	b.fill("input[name=auth_token]", fresh.AuthToken)
	b.press("Publish the new value")
	b.see("Published. Version 2")
	b.open(w.at("campaigns/c/joe-leaves"))
	b.see("1 of 2", "To do by a person: 1", "Done: 1")

	// What somebody else does is ticked off on the page that is open, by its script.
	ro := done(w.sim.ResetReadOnly(t.Context(), "agency"))(t)
	w.write(t, "tokens/acme-ro/rotate", fields{"auth_token": ro.AuthToken})
	b.see("2 of 2", "Done: 2")
	b.open(w.at("campaigns"))
	b.see("joe-leaves", "2 of 2", "Done")
}

// needsCampaigns skips a test on an engine without campaigns.
func (w *world) needsCampaigns(t *testing.T) {
	t.Helper()
	if _, err := w.Read(t.Context(), "campaigns/none"); err != nil && strings.Contains(err.Error(), "unsupported path") {
		t.Skip("this engine has no campaigns")
	}
}

// After a sign-out neither the session nor the browser's way back shows anything.
func TestStory_SignOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importImpact(t)
	w.allowPasswords(t, "jane", "her-password-2")
	b := w.tab(t)
	b.open("/m/" + w.Path + "/tokens/acme-rw")
	b.see("With your name and password")
	b.fill("#username", "jane")
	b.fill("#password", "her-password-2")
	b.fill("#path", "people-"+w.Path)
	b.press("Sign in")
	b.see("Replace it") // where the person wanted to go
	b.press("Sign out")
	b.see("You have signed out")
	eval[bool](b, "setTimeout(() => history.back(), 100), true") // the answer comes before the page goes
	vaulttest.Await(t, "the page before", func() bool {
		ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second) // a page that goes away gives no answer
		defer cancel()
		html, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.readyState === "complete" ? document.documentElement.outerHTML : ""`))
		if strings.Contains(html, "acme-rw<") {
			t.Error("the page is still shown")
		}
		return err == nil && strings.Contains(html, "Sign in") && !strings.Contains(html, "You have signed out")
	})
}

// All of it is done without a mouse, with a hundred tokens.
func TestStory_AHundredTokensByKeyboard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	values := w.importImpact(t)
	for i := range 100 {
		w.write(t, fmt.Sprintf("tokens/team-%03d", i), fields{"account": "acme-impact", "type": "legacy_read_only"})
	}
	b := w.tab(t)
	token := w.person(t, "jane")
	b.open("/sign-in")
	b.see("With a Vault token")
	b.tabTo("#token")
	b.paste(token)
	b.key(kb.Enter)
	b.see("All tokens (102)", "1 to 50 of 102")

	b.key(kb.Tab) // the first stop leads past the menu
	skip := eval[string](b, "document.activeElement.textContent")
	if skip != "Go to the content" {
		t.Errorf("the first stop of the keyboard is %q", skip)
	}
	b.tabTo("#q")
	b.key("team-077" + kb.Enter)
	b.see("1 to 1 of 1")
	b.tabTo("tbody a[href$='/tokens/team-077']")
	b.key(kb.Enter)
	b.see("has no value yet")
	b.tabTo("input[name=account_sid]")
	b.paste(values.ReadOnly.AccountSID)
	b.tabTo("input[name=auth_token]")
	b.paste(values.ReadOnly.AuthToken)
	b.tabTo("input[name=reason]")
	b.key("first value" + kb.Enter)
	b.see("Published. Version 1 is in use now.")
	focused := eval[string](b, "document.activeElement.id")
	if focused != "result" {
		t.Errorf("the focus is on %q and not on what became of it", focused)
	}
	b.tabTo("form.who button")
	b.key(kb.Enter)
	b.see("You have signed out")
	if got := w.data(t, "tokens/team-077")["health"]; got != "ok" {
		vaulttest.Errorf(t, "the token is %v", got)
	}
}

// The pages do what they do without the script.
func TestStory_WithoutJavaScript(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importImpact(t)
	b := w.tab(t)
	b.withoutScripts()
	b.open("/sign-in")
	b.fill("#token", w.person(t, "jane"))
	b.press("Sign in with the token")
	b.run("waiting", chromedp.WaitVisible(chromedp.CSS("#tokens")))
	b.press("acme-rw")
	b.run("waiting", chromedp.WaitVisible(chromedp.CSS("#replace")))
	b.press("Check it now")
	b.run("waiting", chromedp.WaitVisible(chromedp.CSS("#result")))
	if !strings.Contains(b.html(), "The platform accepts it") {
		t.Error("the page does not show the result")
	}
}
