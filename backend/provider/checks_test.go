package provider_test

import (
	"encoding/pem"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

func TestEmailAddress(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"ads-api@example.com", "a@b.c", strings.Repeat("a", 242) + "@example.com"} {
		if got, err := provider.EmailAddress(value); got != value || err != nil {
			t.Errorf("%q: got %q, error %v", value, got, err)
		}
	}
	for _, value := range []string{
		"nobody", "ads@localhost", "Ads <ads@example.com>", "ads@example.com (s3cr3t)", "a@example.com, b@example.com", "<ads@example.com>",
		"mailto:ads@example.com", strings.Repeat("a", 243) + "@example.com", "ads\u202e@example.com", "ads\u200b@example.com", "ads@exa\u2066mple.com",
	} {
		if got, err := provider.EmailAddress(value); got != "" || errorText(err) != "must be an e-mail address such as ads-api@example.com" {
			t.Errorf("%q: got %q, error %v", value, got, err)
		}
	}
}

// TestCACertificates_HoldNothingElse: the field is shown to whoever may read the account.
func TestCACertificates(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(nil)
	t.Cleanup(server.Close)
	block := func(kind string, bytes []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}))
	}
	der := server.Certificate().Raw
	certificate := strings.TrimSpace(block("CERTIFICATE", der))
	const want = "must hold at least one PEM encoded certificate"
	tests := map[string]struct{ value, want, wantErr string }{
		"one":                        {value: certificate, want: certificate},
		"two":                        {value: certificate + "\n\n" + certificate, want: certificate + "\n\n" + certificate},
		"line ends of Windows":       {value: strings.ReplaceAll(certificate, "\n", "\r\n"), want: strings.ReplaceAll(certificate, "\n", "\r\n")},
		"text between":               {value: "# CA of s3cr3t\n" + certificate + "\nand another\n" + certificate + "\n# the end", want: certificate + "\n" + certificate},
		"no PEM":                     {value: secret, wantErr: want},
		"nothing but text":           {value: "-----END CERTIFICATE-----", wantErr: want},
		"private key":                {value: block("PRIVATE KEY", der), wantErr: want + " and nothing else; this one holds a private key, which would be shown: leave it out"},
		"private key behind":         {value: certificate + "\n" + block("RSA PRIVATE KEY", der), wantErr: want + " and nothing else; this one holds a private key, which would be shown: leave it out"},
		"damaged private key before": {value: "-----BEGIN EC PRIVATE KEY-----\n" + secret + "\n" + certificate, wantErr: want + " and nothing else; this one holds a private key, which would be shown: leave it out"},
		"another block":              {value: certificate + "\n" + block("X509 CRL", der), wantErr: want + " and nothing else; its block 2 is none"},
		"headers":                    {value: strings.Replace(certificate, "\n", "\nComment: "+secret+"\n\n", 1), wantErr: want + " and nothing else; its block 1 is none"},
		"a secret in a block":        {value: certificate + "\n" + block("CERTIFICATE", []byte(secret)), wantErr: want + " and nothing else; its block 2 is damaged"},
		"damaged block before":       {value: "-----BEGIN CERTIFICATE-----\n" + secret + "\n" + certificate, wantErr: want + " and nothing else; its block 1 is none"},
		"block without an end":       {value: certificate + "\n-----BEGIN CERTIFICATE-----\n" + secret, wantErr: want + " and nothing else; its block 2 is none"},
		"two on one line":            {value: certificate + certificate, want: certificate + "\n" + certificate},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := provider.CACertificates(tc.value)
			if got != tc.want || errorText(err) != tc.wantErr {
				t.Fatalf("got %q, error %v; want %q, error %q", got, err, tc.want, tc.wantErr)
			}
			if err == nil {
				if _, err := provider.NewClient(provider.ClientConfig{CACert: got}); err != nil {
					t.Errorf("the client does not take it: %v", err)
				}
			}
		})
	}
}
