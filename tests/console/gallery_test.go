//go:build unix

package console

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// screenshotsVariable names a directory that gets a picture of every page.
const screenshotsVariable = "ADTOKENS_SCREENSHOTS"

func (b *tab) withoutScripts() {
	b.t.Helper()
	b.run("switching scripts off", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
}

// sight is a page to look at.
type sight struct {
	name string
	// show leads there.
	show func(*tab)
}

// gallery is a mount with something of everything, and its pages.
func gallery(t *testing.T) (*world, []sight) {
	t.Helper()
	w := newWorld(t)
	values := w.importImpact(t)
	client := w.importGoogle(t)
	w.write(t, "tokens/acme-app", fields{
		"account": "acme-google", "type": "oauth_client", "client_id": client.ClientID, "client_secret": client.ClientSecret, "refresh_token": client.RefreshToken,
	})
	w.write(t, "tokens/acme-new", fields{"account": "acme-google", "type": "oauth_client"})
	key := done(w.sim.ServiceAccountKey(t.Context(), "default"))(t)
	w.write(t, "tokens/acme-robot", fields{"account": "acme-google", "type": "service_account_key", "service_account_key": string(key), "rotation_period": "30d"})
	w.write(t, "tokens/acme-robot/rotate", fields{"reason": "monthly"})
	for i := range 12 {
		w.write(t, fmt.Sprintf("tokens/widgets-%02d", i), fields{"account": "acme-impact", "type": "legacy_read_only", "account_sid": values.ReadOnly.AccountSID, "auth_token": values.ReadOnly.AuthToken})
	}
	for _, app := range []string{"app-reports", "app-bids"} { // readers
		reader := w.As(t, w.reader(t, app))
		_, _ = reader.Read(t.Context(), "creds/acme-robot")
		_, _ = reader.Read(t.Context(), "creds/acme-rw")
	}
	done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	w.write(t, "tokens/acme-rw/verify", nil)
	campaigns := false
	if _, err := w.Write(t.Context(), "campaigns/joe-leaves", fields{"reason": "Joe has left", "tokens": []string{"acme-r*"}}); err == nil {
		campaigns = true
	}
	at := func(path string) func(*tab) {
		return func(b *tab) { b.open(w.at("%s", path)) }
	}
	sights := []sight{
		{"overview", at("")},
		{"overview-filtered", at("?state=ok&q=widgets")},
		{"token", at("tokens/acme-rw")},
		{"token-automatic", at("tokens/acme-robot")},
		{"token-consent", at("tokens/acme-new")},
		{"result", func(b *tab) {
			b.open(w.at("tokens/acme-ro"))
			b.fill("input[name=auth_token]", "a-value-that-is-wrong")
			b.press("Publish the new value")
			b.see("Refused")
		}},
		{"elsewhere", func(b *tab) {
			b.open(w.at("tokens/acme-app"))
			b.press("Begin")
			b.see("ten minutes")
		}},
		{"campaigns", at("campaigns")},
		{"campaign-new", at("campaigns/new")},
		{"campaign-preview", func(b *tab) {
			b.open(w.at("campaigns/new?name=impact-by-friday&reason=New+keys+by+Friday&providers=impact"))
			b.press("Show what would be replaced")
			b.see("Preview of")
		}},
		{"providers", at("providers")},
		{"provider", at("providers/awin")},
		{"problem", at("tokens/none")},
	}
	if campaigns {
		sights = append(sights, sight{"campaign", at("campaigns/c/joe-leaves")})
	}
	return w, sights
}

// reader is a Vault token of an app.
func (w *world) reader(t *testing.T, name string) string {
	t.Helper()
	if err := w.Server.Client.Sys().PutPolicyWithContext(t.Context(), "app-"+w.Path, `path "`+w.Path+`/creds/*" { capabilities = ["read"] }`); err != nil {
		t.Fatal(err)
	}
	out := w.CLI(t, vaulttest.Command{Args: []string{"token", "create", "-policy=app-" + w.Path, "-display-name=" + name, "-field=token"}})
	return strings.TrimSpace(out.Stdout)
}

// TestPages_Everywhere looks at every page: in light and dark, from a small telephone to a wide screen, and with axe-core.
func TestPages_Everywhere(t *testing.T) {
	t.Parallel()
	w, sights := gallery(t)
	b := w.tab(t)
	axe := installAxe(t)
	folder := os.Getenv(screenshotsVariable)
	look := func(s sight) {
		for _, scheme := range []string{"light", "dark"} {
			b.scheme(scheme)
			b.accessible(axe, s.name, scheme)
			b.picture(folder, s.name+"-"+scheme)
			if slices.Contains(documented, s.name) && scheme == "light" {
				b.small(folder, s.name)
			}
		}
		for _, width := range []int64{320, 480, 768, 1280, 1920} {
			b.size(width, 900)
			if eval[bool](b, "document.documentElement.scrollWidth > document.documentElement.clientWidth") {
				widest := eval[string](b, `[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + "." + e.className).join(" ")`)
				t.Errorf("%s scrolls sideways at %d: %s", s.name, width, widest)
			}
			if width == 320 {
				b.scheme("light")
				b.picture(folder, s.name+"-narrow")
			}
		}
		b.size(1280, 900)
	}
	b.open("/sign-in")
	b.see("With a Vault token")
	look(sight{name: "sign-in"})
	b.signIn(w.person(t, "jane"))
	for _, s := range sights {
		s.show(b)
		b.run("waiting", chromedp.WaitVisible(chromedp.CSS("h1")))
		look(s)
	}
	if folder == "" {
		return
	}
	t.Logf("the pictures are in %s", folder)
}

// picture keeps what the page looks like.
func (b *tab) picture(folder, name string) {
	b.t.Helper()
	if folder == "" {
		return
	}
	var taken []byte
	b.run("taking a picture", chromedp.Func(func(ctx context.Context, target *chromedp.Target) (err error) {
		taken, err = chromedp.FullScreenshot(100)(ctx, target)
		return err
	}))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name+".png"), taken, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// documented are the pages of which docs/console has a picture: what make screenshots leaves in bin/screenshots/docs.
var documented = []string{"overview", "token", "result", "campaign"}

// maxSmall is how large such a picture may be, in bytes.
const maxSmall = 60 << 10

// small keeps a picture of what is seen first, in few colours.
func (b *tab) small(folder, name string) {
	b.t.Helper()
	if folder == "" {
		return
	}
	b.size(1000, 1080)
	defer b.size(1280, 900)
	var taken []byte
	b.run("taking a picture", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		shot, err := cdp.Call(ctx, target, page.CaptureScreenshot, page.CaptureScreenshotParams{})
		if err != nil {
			return err
		}
		taken = shot.Data
		return nil
	}))
	full, err := png.Decode(bytes.NewReader(taken))
	if err != nil {
		b.t.Fatal(err)
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, withFewColours(full)); err != nil {
		b.t.Fatal(err)
	}
	if out.Len() > maxSmall {
		b.t.Errorf("the picture %s has %d bytes", name, out.Len())
	}
	if err := os.MkdirAll(filepath.Join(folder, "docs"), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "docs", name+".png"), out.Bytes(), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// withFewColours is an image in the 48 colours that it has most of.
func withFewColours(full image.Image) *image.Paletted {
	count := map[color.RGBA]int{}
	for y := range full.Bounds().Dy() {
		for x := range full.Bounds().Dx() {
			count[color.RGBAModel.Convert(full.At(x, y)).(color.RGBA)]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int { return cmp.Compare(count[b], count[a]) })
	var palette color.Palette
	for _, c := range colours[:min(48, len(colours))] {
		palette = append(palette, c)
	}
	few := image.NewPaletted(full.Bounds(), palette)
	draw.Draw(few, few.Bounds(), full, image.Point{}, draw.Src)
	return few
}

// installPatience bounds the installation of axe-core from its registry.
const installPatience = 2 * time.Minute

// installAxe is axe-core's program, empty where npm cannot install it.
func installAxe(t *testing.T) string {
	t.Helper()
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Log("there is no npm on PATH, so axe-core does not look at the pages: install Node.js")
		return ""
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/axe")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), installPatience)
	defer cancel()
	install := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--prefer-offline")
	install.Dir = dir
	if output, err := install.CombinedOutput(); err != nil {
		t.Logf("npm cannot install axe-core, which does not look at the pages (%v): %s", err, output)
		return ""
	}
	program, err := os.ReadFile(filepath.Join(dir, "node_modules/axe-core/axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	return string(program)
}

// accessible wants axe-core to find nothing that WCAG 2.2 AA forbids. Light and dark differ in their colours alone.
func (b *tab) accessible(axe, name, scheme string) {
	b.t.Helper()
	if axe == "" {
		return
	}
	rules := `{type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}`
	if scheme == "dark" {
		rules = `{type: "rule", values: ["color-contrast"]}`
	}
	if eval[bool](b, `typeof axe === "undefined"`) {
		eval[int](b, axe+";0")
	}
	found := eval[string](b, `axe.run(document, {runOnly: `+rules+`})
		.then(r => JSON.stringify(r.violations.map(v => ({rule: v.id, help: v.help, where: v.nodes.map(n => n.html.slice(0, 200) + " " + n.failureSummary)}))))`,
		chromedp.EvalAwaitPromise)
	var violations []struct {
		Rule, Help string
		Where      []string
	}
	if err := json.Unmarshal([]byte(found), &violations); err != nil {
		b.t.Fatal(err)
	}
	for _, v := range violations {
		b.t.Errorf("%s in %s: %s (%s): %s", name, scheme, v.Help, v.Rule, strings.Join(v.Where, "\n"))
	}
}
