package main

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// maxAsked is how many requests of one page are under way at a time.
const maxAsked = 8

// foreignEngines are types of secrets engines that are Vault's own, and so not this one.
var foreignEngines = []string{
	"ad", "alicloud", "aws", "azure", "cassandra", "consul", "cubbyhole", "database", "gcp", "gcpkms", "generic", "identity", "keymgmt",
	"kmip", "kubernetes", "kv", "ldap", "mongodbatlas", "nomad", "ns_cubbyhole", "ns_identity", "ns_system", "openldap", "pki", "rabbitmq",
	"ssh", "system", "terraform", "totp", "transform", "transit",
}

// findMounts are the mounts of the engine that a person may see.
func (c *console) findMounts(ctx context.Context, s *session) ([]string, error) {
	if len(c.mounts) > 0 {
		return c.mounts, nil
	}
	if known := s.knownMounts(c.now()); known != nil {
		return known, nil
	}
	var visible struct {
		Secret map[string]struct{ Type string }
	}
	if _, err := s.user.read(ctx, "sys/internal/ui/mounts", nil, &visible); err != nil {
		return nil, err
	}
	var candidates []string
	for path, mount := range visible.Secret {
		if !slices.Contains(foreignEngines, mount.Type) {
			candidates = append(candidates, strings.Trim(path, "/"))
		}
	}
	found := make(map[string]bool, len(candidates))
	answers := make([]bool, len(candidates))
	var group errgroup.Group
	group.SetLimit(maxAsked)
	for i, path := range candidates {
		group.Go(func() error {
			answers[i] = isEngine(ctx, s.user, path)
			return nil
		})
	}
	_ = group.Wait() // nothing of it fails
	for i, path := range candidates {
		if answers[i] {
			found[path] = true
		}
	}
	mounts := slices.Sorted(maps.Keys(found))
	s.foundMounts(mounts, c.now())
	return mounts, nil
}

// isEngine says whether what is mounted there answers as this engine.
func isEngine(ctx context.Context, u *user, path string) bool {
	var info struct {
		Version, Commit string
		GoVersion       string `json:"go_version"`
		Providers       map[string]map[string]any
	}
	_, err := u.read(ctx, path+"/info", nil, &info)
	return err == nil && info.Version != "" && info.GoVersion != "" && len(info.Providers) > 0
}

// inMount lets a request go on that is about a mount of the engine.
func (c *console) inMount(next handler) handler {
	return func(v *visit) {
		mounts, err := c.findMounts(v.r.Context(), v.session)
		if err != nil {
			c.problem(v, err)
			return
		}
		v.mount = v.r.PathValue("mount")
		if !slices.Contains(mounts, v.mount) {
			c.say(v, http.StatusNotFound, "problem.no-mount", v.mount)
			return
		}
		next(v)
	}
}

// mountURL is the address of a page of a mount.
func mountURL(mount string, page ...string) string {
	elements := make([]string, len(page))
	for i, element := range page {
		elements[i] = url.PathEscape(element)
	}
	return "/m/" + url.PathEscape(mount) + "/" + strings.Join(elements, "/")
}

// home leads to the mount, or has the choice of several.
func (c *console) home(v *visit) {
	mounts, err := c.findMounts(v.r.Context(), v.session)
	switch {
	case err != nil:
		c.problem(v, err)
	case len(mounts) == 0:
		c.say(v, http.StatusOK, "problem.no-mounts")
	case len(mounts) == 1:
		http.Redirect(v.w, v.r, mountURL(mounts[0]), http.StatusSeeOther)
	default:
		type choice struct{ Name, URL string }
		var choices []choice
		for _, m := range mounts {
			choices = append(choices, choice{m + "/", mountURL(m)})
		}
		c.show(v, http.StatusOK, page{name: "mounts", title: c.pages.text("mounts.title"), data: choices})
	}
}
