package simulator

import "context"

// SetClientAdsAccess says what Google Ads thinks of the user behind an OAuth client's refresh tokens.
func (c *Client) SetClientAdsAccess(ctx context.Context, client string, access AdsAccess) error {
	_, err := call[none](ctx, c, "google/ads-access", adsAccessOf{Client: client, Access: access})
	return err
}

// SetServiceAccountAdsAccess says what Google Ads thinks of a service account.
func (c *Client) SetServiceAccountAdsAccess(ctx context.Context, account string, access AdsAccess) error {
	_, err := call[none](ctx, c, "google/ads-access", adsAccessOf{ServiceAccount: account, Access: access})
	return err
}

// SetOAuthClientState says what the token endpoint thinks of an OAuth client.
func (c *Client) SetOAuthClientState(ctx context.Context, client string, state OAuthClientState) error {
	_, err := call[none](ctx, c, "google/oauth-client-state", clientState{client, state})
	return err
}

// SetRevocation says what the revocation of a refresh token ends.
func (c *Client) SetRevocation(ctx context.Context, scope RevocationScope) error {
	_, err := call[none](ctx, c, "google/revocation", value{string(scope)})
	return err
}

// SetPublishingStatus says in what status the OAuth apps are when consents are given from now on.
func (c *Client) SetPublishingStatus(ctx context.Context, status PublishingStatus) error {
	_, err := call[none](ctx, c, "google/publishing-status", value{string(status)})
	return err
}

// SetTokenURI says which token endpoint new key files name.
func (c *Client) SetTokenURI(ctx context.Context, address string) error {
	_, err := call[none](ctx, c, "google/token-uri", value{address})
	return err
}

// SetExpiresIn says whether the token endpoint names the life of an access token.
func (c *Client) SetExpiresIn(ctx context.Context, way ExpiresIn) error {
	_, err := call[none](ctx, c, "google/expires-in", value{string(way)})
	return err
}
