package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

const receiveUsage = `Usage: adtokens-simulator receive -secret-file FILE [flags]

Plays a company's receiver of notifications. The first line of the output is {"url": …}, where it listens; then comes a line of JSON
for each message: its id, its body where the signature is right, or why it was refused.

Flags:
`

// receive takes notifications until ctx ends.
func receive(ctx context.Context, args []string, s cli.Streams) error {
	var address, secretFile string
	flags := cli.Flags("adtokens-simulator receive", receiveUsage)
	flags.StringVar(&address, "listen", "127.0.0.1:0", "loopback `address` to listen on; port 0 takes a free one")
	flags.StringVar(&secretFile, "secret-file", "", "`path` of a file with the secret that signs the messages, whsec_ and base64")
	if err := cli.Parse(flags, args, s); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return cli.Usagef("receive takes no argument %q", flags.Arg(0))
	}
	if secretFile == "" {
		return cli.Usagef("-secret-file is missing")
	}
	secret, err := os.ReadFile(secretFile) //nolint:gosec // the file that whoever runs it names
	if err != nil {
		return fmt.Errorf("reading the secret: %w", err)
	}
	receiver, err := simulator.NewReceiver(strings.TrimSpace(string(secret)))
	if err != nil {
		return fmt.Errorf("the secret in %s is none of Standard Webhooks: whsec_ and base64", secretFile)
	}
	out := json.NewEncoder(s.Out)
	receiver.Told = func(message simulator.Received) { _ = out.Encode(message) } // nobody reads: the messages are taken all the same
	listener, err := listenLoopback(ctx, address)
	if err != nil {
		return err
	}
	if err := out.Encode(map[string]string{"url": "http://" + listener.Addr().String()}); err != nil {
		return errors.Join(err, listener.Close())
	}
	server := &http.Server{Handler: receiver, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // Serve says that it was closed
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("receiving: %w", err)
	}
	return nil
}

// listenLoopback refuses addresses that other machines could reach.
func listenLoopback(ctx context.Context, address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, cli.Usagef("the address %q is not host:port", address)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, cli.Usagef("the address %q is not on the loopback interface: use 127.0.0.1", address)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening on %q: %w", address, err)
	}
	return listener, nil
}
