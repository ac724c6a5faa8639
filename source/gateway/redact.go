package gateway

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
)

// Secret is a string that is not to be seen: all verbs of fmt, slog and
// encoding/json print it as "***". Reading it from JSON works.
type Secret string

const redacted = "***"

// String returns "***".
func (Secret) String() string { return redacted }

// Format prints "***" for every verb.
func (Secret) Format(f fmt.State, _ rune) { write(f, redacted) }

// LogValue redacts the secret in logs.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText redacts the secret in JSON.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// String describes the options without the key and the values of headers.
func (c Config) String() string {
	names := make([]string, 0, len(c.Header))
	for name := range c.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	return fmt.Sprintf("gateway.Config{Header: [%s], UserAgent: %q, TryTimeout: %v, Timeout: %v, Retries: %d, MaxBody: %d, MaxRate: %v, MaxInFlight: %d}",
		strings.Join(names, " "), c.UserAgent, c.TryTimeout, c.Timeout, c.Retries, c.MaxBody, c.MaxRate, c.MaxInFlight)
}

// Format prints what String returns, for every verb.
func (c Config) Format(f fmt.State, _ rune) { write(f, c.String()) }

// LogValue keeps the key and the values of headers out of logs.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// String returns the base URL that was given to [New].
func (c *Client) String() string { return c.bases.urls[0] }

// Format prints what String returns, for every verb.
func (c *Client) Format(f fmt.State, _ rune) { write(f, c.String()) }

// LogValue keeps the key out of logs.
func (c *Client) LogValue() slog.Value { return slog.StringValue(c.String()) }

// String describes the request without its path and query.
func (r Request) String() string {
	return fmt.Sprintf("gateway.Request{Route: %s, Fresh: %t, TransactionID: %s}", r.Route, r.Fresh, r.TransactionID)
}

// Format prints what String returns, for every verb.
func (r Request) Format(f fmt.State, _ rune) { write(f, r.String()) }

// LogValue keeps the path and the query out of logs.
func (r Request) LogValue() slog.Value { return slog.StringValue(r.String()) }

// String describes the response without its headers and its body.
func (r Response) String() string {
	return fmt.Sprintf("gateway.Response{Status: %d, Body: %d bytes, Route: %s, TransactionID: %s}",
		r.Status, len(r.Body), r.Route, r.TransactionID)
}

// Format prints what String returns, for every verb.
func (r Response) Format(f fmt.State, _ rune) { write(f, r.String()) }

// LogValue keeps the headers and the body out of logs.
func (r Response) LogValue() slog.Value { return slog.StringValue(r.String()) }

func write(f fmt.State, s string) { _, _ = io.WriteString(f, s) }
