package simulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

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

// Consent does what a person does who opens the address of a platform's consent page and presses Allow. It returns the address that the
// page sends the browser to, with the code and the state.
func (c *Client) Consent(ctx context.Context, address string) (*url.URL, error) {
	page, err := browse(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	if page.code != http.StatusOK {
		return nil, fmt.Errorf("the consent page answered HTTP %d, and asks nothing", page.code)
	}
	answer, err := browse(ctx, http.MethodPost, address, strings.NewReader(url.Values{"answer": {"allow"}}.Encode()))
	if err != nil {
		return nil, err
	}
	if answer.location == nil {
		return nil, fmt.Errorf("the consent page answered HTTP %d and sends the browser nowhere", answer.code)
	}
	return answer.location, nil
}

// browsed is what a browser got; location is nil where it is sent nowhere.
type browsed struct {
	code     int
	location *url.URL
}

// browse sends a request as a browser would, and follows no redirect.
func browse(ctx context.Context, method, address string, form io.Reader) (browsed, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, form)
	if err != nil {
		return browsed{}, errors.New("the address of the consent page is none") // an error of net/url would repeat it
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	client := cleanhttp.DefaultClient()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := client.Do(request)
	if err != nil {
		return browsed{}, fmt.Errorf("opening the consent page: %w", err)
	}
	defer response.Body.Close()
	location, err := response.Location()
	if err != nil {
		location = nil // there is none
	}
	return browsed{response.StatusCode, location}, nil
}
