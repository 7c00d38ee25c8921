package main

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

//go:embed templates assets texts
var files embed.FS

// pages makes HTML of templates, and has all texts.
type pages struct {
	texts     map[string]string
	templates map[string]*template.Template
	// used are the keys of texts that were asked for; tests look at them. Nil elsewhere.
	used func(key string)
}

// page is what a handler shows.
type page struct {
	// name is the template's, section the part of the menu that it belongs to.
	name, title, section string
	data                 any
}

// frame is what is around a page.
type frame struct {
	Title, Section string
	// CSRF is the token of the page's forms.
	CSRF string
	// User is who has signed in; SignedIn is needed because a token may have no name.
	User     string
	SignedIn bool
	Ends     *time.Time
	Mount    string
	// Tokens, Campaigns and Providers are addresses of the menu.
	Tokens, Campaigns, Providers, Mounts string
	// Refresh is where the browser goes by itself.
	Refresh string
	Now     time.Time
	Data    any
}

func loadPages() (*pages, error) {
	p := &pages{texts: map[string]string{}, templates: map[string]*template.Template{}}
	text, err := files.ReadFile("texts/en.yaml")
	if err != nil {
		return nil, err
	}
	if err := yaml.Unmarshal(text, &p.texts); err != nil {
		return nil, fmt.Errorf("texts/en.yaml: %w", err)
	}
	functions := template.FuncMap{
		"t": p.text, "known": func(key string) bool { return p.textOr(key, "") != "" }, "or_text": p.textOr, "kind": p.kind,
		"moment": p.moment, "ago": p.ago, "stamp": func(at time.Time) string { return at.UTC().Format(time.RFC3339) },
		"dict": dict, "deref": func(at *time.Time) time.Time { return *at },
		"seconds": func(n int) string { return p.duration(time.Duration(n) * time.Second) },
	}
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		base := strings.TrimSuffix(path.Base(name), ".html")
		if base == "layout" || base == "parts" {
			continue
		}
		t, err := template.New("layout.html").Funcs(functions).ParseFS(files, "templates/layout.html", "templates/parts.html", name)
		if err != nil {
			return nil, fmt.Errorf("templates: %w", err)
		}
		p.templates[base] = t
	}
	return p, nil
}

// text is a text with its arguments put in. A key without a text shows itself, and fails a test.
func (p *pages) text(key string, args ...any) string {
	if p.used != nil {
		p.used(key)
	}
	text, known := p.texts[key]
	if !known {
		return key
	}
	if len(args) == 0 {
		return text
	}
	return fmt.Sprintf(text, args...)
}

// textOr is a text, or something else where the key has none.
func (p *pages) textOr(key, other string) string {
	text, known := p.texts[key]
	if !known {
		return other
	}
	if p.used != nil {
		p.used(key)
	}
	return text
}

// dict is how a template gives several values to another one.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, errors.New("dict takes pairs")
	}
	values := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		name, is := pairs[i].(string)
		if !is {
			return nil, errors.New("dict takes names")
		}
		values[name] = pairs[i+1]
	}
	return values, nil
}

// show shows a page to somebody who has signed in.
func (c *console) show(v *visit, status int, p page) {
	f := frame{
		User: v.name, SignedIn: true, Mount: v.mount, CSRF: c.sessions.formToken(c.sessions.cookie(v.r, sessionCookie)),
	}
	ends := v.latestEnd()
	f.Ends = &ends
	if v.mount != "" {
		f.Tokens, f.Campaigns, f.Providers = mountURL(v.mount), mountURL(v.mount, "campaigns"), mountURL(v.mount, "providers")
	}
	if len(c.mounts) > 1 || len(v.knownMounts(c.now())) > 1 {
		f.Mounts = "/"
	}
	c.render(v.w, status, p, f)
}

// render writes a page. It is made as a whole first: half a page with the status of success would mislead.
func (c *console) render(w http.ResponseWriter, status int, p page, f frame) {
	f.Title, f.Section, f.Data, f.Now = p.title, p.section, p.data, c.now()
	var out bytes.Buffer
	if err := c.pages.templates[p.name].Execute(&out, f); err != nil {
		c.logger.Error("a template failed", "template", p.name, "error", err)
		http.Error(w, c.pages.text("problem.broken"), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes()) // the browser may have left
}

// assets are the sheet of styles, the script and the icon.
func (c *console) assets() http.Handler {
	server := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if about, err := fs.Stat(files, strings.TrimPrefix(path.Clean(r.URL.Path), "/")); err != nil || about.IsDir() {
			c.plainProblem(w, http.StatusNotFound, "problem.nothing-here")
			return
		}
		w.Header().Set("Cache-Control", "max-age=300")
		server.ServeHTTP(w, r)
	})
}
