//go:build unix

package console

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// browserPatience bounds one step in the browser, on a busy machine.
const browserPatience = 90 * time.Second

func command(name string, args ...string) *exec.Cmd { return exec.Command(name, args...) }

// browser is the one that the tests of this process have in common; each has a profile of its own in it, and its turn: on a busy
// machine several tabs at once wait for each other.
var browser struct {
	turn   sync.Mutex
	once   sync.Once
	path   string
	ctx    context.Context
	cancel func()
	err    error
}

func startBrowser() {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			browser.path = path
			break
		}
	}
	if browser.path == "" {
		return
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser.path),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("disable-gpu", true), chromedp.Flag("lang", "en"),
		chromedp.Flag("force-color-profile", "srgb"), chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("force-prefers-reduced-motion", true), // a page that scrolls smoothly moves away under a click
		chromedp.WSURLReadTimeout(browserPatience))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium starts no sandbox for root, as in containers
	}
	allocator, cancelAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	browser.ctx, browser.cancel = ctx, func() { cancel(); cancelAllocator() }
	browser.err = chromedp.Do(ctx)
}

func closeBrowser() {
	if browser.cancel != nil {
		browser.cancel()
	}
}

// tab is a browser's window with cookies of its own.
type tab struct {
	t   *testing.T
	w   *world
	ctx context.Context
}

func (w *world) tab(t *testing.T) *tab {
	t.Helper()
	browser.once.Do(startBrowser)
	switch {
	case browser.path == "":
		t.Skip("there is no Chromium on PATH, so the pages were not tried in a browser: install one, on Debian with `apt-get install chromium`")
	case browser.err != nil:
		t.Fatalf("Chromium does not start: %v", browser.err)
	}
	browser.turn.Lock()
	t.Cleanup(browser.turn.Unlock)
	ctx, cancel := chromedp.NewContext(browser.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	b := &tab{t: t, w: w, ctx: ctx}
	b.size(1280, 900)
	return b
}

// run does something, and fails the test if that takes too long.
func (b *tab) run(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	// The first run makes the tab, which lives as long as its context: the deadline is a step's.
	done := make(chan error, 1)
	go func() { done <- chromedp.Do(b.ctx, actions...) }()
	select {
	case err := <-done:
		if err != nil {
			vaulttest.Fatalf(b.t, "%s: %v", what, err)
		}
	case <-time.After(browserPatience):
		vaulttest.Fatalf(b.t, "%s takes too long", what)
	}
}

func (b *tab) size(width, height int64) {
	b.t.Helper()
	b.run("resizing", chromedp.EmulateViewport(width, height))
}

func (b *tab) scheme(name string) {
	b.t.Helper()
	b.run("choosing colours", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
		})
		return err
	}))
}

func (b *tab) open(path string) {
	b.t.Helper()
	b.run("opening "+path, chromedp.Navigate(b.w.url+path))
}

// eval is what a script says of the page.
func eval[T any](b *tab, script string, options ...chromedp.EvaluateOption) (found T) {
	b.t.Helper()
	b.run("looking at the page", chromedp.Func(func(ctx context.Context, target *chromedp.Target) (err error) {
		found, err = chromedp.Evaluate[T](script, options...)(ctx, target)
		return err
	}))
	return found
}

// see waits until the page shows words.
func (b *tab) see(words ...string) {
	b.t.Helper()
	for _, word := range words {
		deadline := time.Now().Add(browserPatience)
		for {
			text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.readyState === "complete" ? document.body.innerText : ""`))
			if err == nil && strings.Contains(text, word) {
				break
			}
			if time.Now().After(deadline) {
				vaulttest.Fatalf(b.t, "the page does not show %q but:\n%s", word, text)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// press presses what bears a text.
func (b *tab) press(text string) {
	b.t.Helper()
	b.run("pressing "+text, chromedp.Click(chromedp.Search(`//*[self::button or self::a][contains(normalize-space(), "`+text+`")]`)))
}

// fill puts a text into a field, as pasting does.
func (b *tab) fill(selector, text string) {
	b.t.Helper()
	b.run("going to "+selector, chromedp.Focus(chromedp.CSS(selector)))
	b.paste(text)
}

// paste puts a text where the focus is.
func (b *tab) paste(text string) {
	b.t.Helper()
	b.run("pasting", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, input.InsertText, input.InsertTextParams{Text: text})
		return err
	}))
}

func (b *tab) signIn(token string) {
	b.t.Helper()
	b.open("/sign-in")
	b.fill("#token", token)
	b.press("Sign in with the token")
	b.see("Tokens")
	b.run("waiting", chromedp.WaitVisible(chromedp.CSS("#attention, .note")))
}

// html is the whole page.
func (b *tab) html() (text string) {
	b.t.Helper()
	b.run("reading the page", chromedp.Func(func(ctx context.Context, target *chromedp.Target) (err error) {
		text, err = chromedp.OuterHTML(chromedp.CSS("html"))(ctx, target)
		return err
	}))
	return text
}

// holdsNot wants a value to be nowhere in the page, its address or the browser's history.
func (b *tab) holdsNot(values ...string) {
	b.t.Helper()
	address := eval[string](b, "location.href")
	stored := eval[string](b, "JSON.stringify([localStorage, sessionStorage, document.cookie])")
	history := b.history()
	for _, value := range values {
		for where, text := range map[string]string{"page": b.html(), "address": address, "storage": stored, "history": history} {
			if strings.Contains(text, value) {
				b.t.Errorf("a value is in the %s", where)
			}
		}
	}
}

// history are the console's addresses that the browser would go back to.
func (b *tab) history() (addresses string) {
	b.t.Helper()
	b.run("reading the history", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		known, err := cdp.Call(ctx, target, page.GetNavigationHistory, cdp.Empty{})
		if err != nil {
			return err
		}
		for _, e := range known.Entries {
			if strings.HasPrefix(e.URL, b.w.url) {
				addresses += e.URL + "\n"
			}
		}
		return nil
	}))
	return addresses
}

// key presses a key.
func (b *tab) key(key string) {
	b.t.Helper()
	b.run("pressing a key", chromedp.KeyEvent(key))
}

// tabTo presses Tab until an element has the focus, which has to be seen there.
func (b *tab) tabTo(selector string) {
	b.t.Helper()
	for range 200 {
		if eval[bool](b, "document.activeElement.matches(`"+selector+"`)") {
			if eval[string](b, `getComputedStyle(document.activeElement).outlineStyle`) == "none" {
				b.t.Errorf("the focus on %s is not seen", selector)
			}
			return
		}
		b.key(kb.Tab)
	}
	vaulttest.Fatalf(b.t, "the keyboard does not reach %s", selector)
}
