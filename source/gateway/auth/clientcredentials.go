package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/internal/oauth"
	"github.com/konnektor-go/konnektor/source/gateway"
)

// ClientCredentialsConfig holds the options of [ClientCredentials]. The first
// three are required.
type ClientCredentialsConfig struct {
	// TokenURL is the token endpoint. The scheme is https; http is for loopback
	// addresses only.
	TokenURL string
	// ClientID and ClientSecret are what the client was registered with.
	ClientID     string
	ClientSecret Secret `json:"-"`
	// Scopes are asked for. Default: what the endpoint gives on its own.
	Scopes []string
	// Params are further parameters, like resource (RFC 8707) or audience.
	Params url.Values
	// InBody sends id and secret in the body. Default: in the Authorization
	// header, which every endpoint has to understand (RFC 6749, section 2.3.1).
	InBody bool
	// Transport makes the requests. Default: http.DefaultTransport.
	Transport http.RoundTripper `json:"-"`
	// Timeout ends a fetch of a token. Default: 10 s.
	Timeout time.Duration
}

// String describes the options without the secret, the parameters and the
// transport.
func (c ClientCredentialsConfig) String() string {
	return fmt.Sprintf("auth.ClientCredentialsConfig{TokenURL: %q, ClientID: %q, Scopes: %q}", c.TokenURL, c.ClientID, c.Scopes)
}

// Format prints what String returns, for every verb.
func (c ClientCredentialsConfig) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue keeps the transport, which may hold keys, out of logs.
func (c ClientCredentialsConfig) LogValue() slog.Value { return slog.StringValue(c.String()) }

// ClientCredentials returns an Authenticator that sends tokens as [Bearer] does,
// got by the client credentials grant: RFC 6749, section 4.4.
func ClientCredentials(cfg ClientCredentialsConfig) (gateway.Authenticator, error) {
	endpoint := oauth.Endpoint{URL: cfg.TokenURL, Transport: cfg.Transport, Timeout: cfg.Timeout}
	if err := endpoint.Validate(); err != nil {
		return nil, err
	}
	grant := clientcredentials.Config{
		ClientID: cfg.ClientID, Scopes: slices.Clone(cfg.Scopes), AuthStyle: oauth2.AuthStyleInHeader,
		EndpointParams: make(url.Values, len(cfg.Params)),
	}
	if cfg.InBody {
		grant.AuthStyle = oauth2.AuthStyleInParams
	}
	for name, values := range cfg.Params {
		switch name {
		case "grant_type", "scope", "client_id", "client_secret":
			return nil, fmt.Errorf("Params: %s has a field or a value of its own", name)
		}
		grant.EndpointParams[name] = slices.Clone(values)
	}
	switch {
	case cfg.ClientID == "":
		return nil, errors.New("ClientID: must be set")
	case cfg.ClientSecret == nil:
		return nil, errors.New("ClientSecret: must be set: use File, Env or Value")
	}
	if _, err := clientSecret(cfg.ClientSecret); err != nil {
		return nil, err
	}
	return Bearer(func(ctx context.Context) (*oauth2.Token, error) {
		secret, err := clientSecret(cfg.ClientSecret)
		if err != nil {
			return nil, failure.As(failure.Unavailable, err)
		}
		with := grant
		with.ClientSecret = secret
		return endpoint.Fetch(ctx, with, secret)
	})
}

func clientSecret(s Secret) (string, error) {
	v, err := s()
	switch {
	case err != nil:
		return "", fmt.Errorf("ClientSecret: %w", err)
	case v == "":
		return "", errors.New("ClientSecret: is empty")
	}
	return string(v), nil
}
