package simulator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/hashicorp/go-cleanhttp"
)

// Platforms lists the platforms by rules.
func (c *Client) Platforms(ctx context.Context) ([]PlatformInfo, error) {
	return call[[]PlatformInfo](ctx, c, "platform/list", none{})
}

// AddPlatform serves a script, in YAML, from now on and returns its name. A platform of that name begins anew.
func (c *Client) AddPlatform(ctx context.Context, script string) (string, error) {
	out, err := call[name](ctx, c, "platform/add", platformText{script})
	return out.Name, err
}

// MakeCredential makes a credential of a kind and returns its fields.
func (c *Client) MakeCredential(ctx context.Context, credential PlatformName, kind string) (map[string]string, error) {
	return call[map[string]string](ctx, c, "platform/make", platformMake{credential, kind})
}

// Credential returns the newest live fields of a credential.
func (c *Client) Credential(ctx context.Context, credential PlatformName) (map[string]string, error) {
	return call[map[string]string](ctx, c, "platform/show", credential)
}

// ResetCredential presses the button that gives new values and returns the credential's fields.
func (c *Client) ResetCredential(ctx context.Context, in PlatformReset) (map[string]string, error) {
	return call[map[string]string](ctx, c, "platform/reset", in)
}

// RevokeCredential ends all values of the fields; without fields, of all secret ones that are not shared.
func (c *Client) RevokeCredential(ctx context.Context, in PlatformFields) error {
	_, err := call[none](ctx, c, "platform/revoke", in)
	return err
}

// ExpireCredential brings values to the end of their life; fields as with RevokeCredential.
func (c *Client) ExpireCredential(ctx context.Context, in PlatformFields) error {
	_, err := call[none](ctx, c, "platform/expire", in)
	return err
}

// DenyRights leaves a credential genuine and takes its rights, or gives them back.
func (c *Client) DenyRights(ctx context.Context, credential PlatformName, denied bool) error {
	_, err := call[none](ctx, c, "platform/rights", platformRights{credential, denied})
	return err
}

// LiveValues returns the values of a credential that the platform accepts now, by field and oldest first.
func (c *Client) LiveValues(ctx context.Context, credential PlatformName) ([]LiveValue, error) {
	return call[[]LiveValue](ctx, c, "platform/live", credential)
}

// PlatformCalls returns the last calls that a platform has answered.
func (c *Client) PlatformCalls(ctx context.Context, platform string) ([]PlatformCall, error) {
	return call[[]PlatformCall](ctx, c, "platform/calls", name{platform})
}

// Consent does what a person does who opens the address of a platform's consent page: it allows what is asked for, and returns the
// address that the page sends the browser to, with the code and the state.
func (c *Client) Consent(ctx context.Context, address string) (*url.URL, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, errors.New("the address of the consent page is none") // an error of net/url would repeat it
	}
	client := cleanhttp.DefaultClient()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("opening the consent page: %w", err)
	}
	defer response.Body.Close()
	back, err := response.Location()
	if err != nil {
		return nil, fmt.Errorf("the consent page answered %s and sends the browser nowhere", response.Status)
	}
	return back, nil
}
