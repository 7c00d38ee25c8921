package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

const callUsage = `Usage: vault read -format=json adtokens/access-token/<name> | adtokens-simulator call

Makes one request to the Google Ads API as an app does, listAccessibleCustomers, with the access token that Vault gave,
and prints the credential's version and the HTTP status. Exits with 1 unless that is 200.
`

// callTimeout bounds the one request.
const callTimeout = 10 * time.Second

// answerOfVault is what an app needs of a read of access-token/<name>.
type answerOfVault struct {
	Data struct {
		AccessToken string      `json:"access_token"`
		TokenType   string      `json:"token_type"`
		BaseURL     string      `json:"base_url"`
		APIVersion  string      `json:"api_version"`
		Version     json.Number `json:"version"`
	} `json:"data"`
}

// call is an app of one request. The access token comes from standard input, so that no other process can see it.
func call(ctx context.Context, args []string, s cli.Streams) error {
	flags := cli.Flags("adtokens-simulator call", callUsage)
	if err := cli.Parse(flags, args, s); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return cli.Usagef("call takes no argument %q", flags.Arg(0))
	}
	// To the end, so that whoever writes to the pipe is not cut off.
	answer, err := io.ReadAll(s.In)
	if err != nil {
		return fmt.Errorf("reading standard input: %w", err)
	}
	var vault answerOfVault
	if err := json.Unmarshal(answer, &vault); err != nil || vault.Data.AccessToken == "" {
		// A decoder's error could quote the token.
		return cli.Usagef("standard input is not what `vault read -format=json` prints of access-token/<name>")
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	address := vault.Data.BaseURL + "/" + vault.Data.APIVersion + "/customers:listAccessibleCustomers"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return fmt.Errorf("making the request: %w", err)
	}
	request.Header.Set("Authorization", vault.Data.TokenType+" "+vault.Data.AccessToken)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("calling the Google Ads API: %w", err)
	}
	defer response.Body.Close()
	fmt.Fprintf(s.Out, "version %s: %s\n", vault.Data.Version, response.Status)
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the Google Ads API refused the call: %s", response.Status)
	}
	return nil
}
