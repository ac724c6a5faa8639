package maskinporten

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/internal/oauth"
	"github.com/konnektor-go/konnektor/source/gateway"
	"github.com/konnektor-go/konnektor/source/gateway/auth"
)

const (
	grantType = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	// lifetime is that of an assertion. It has to reach the endpoint, with
	// clocks that differ a little.
	lifetime = time.Minute
)

// Config holds the options of [New]. ClientID, Key and Scopes are required.
type Config struct {
	// TokenURL is the token endpoint. Default: "https://maskinporten.no/token".
	// That for tests is "https://test.maskinporten.no/token".
	TokenURL string
	// Audience is the service's own name, its issuer, with a slash at the end.
	// Default: TokenURL without its path.
	Audience string
	// ClientID is the id of the integration.
	ClientID string
	// Key is the private key, RSA with at least 2048 bits: in PEM (PKCS #8 or
	// PKCS #1, not encrypted) or as a JWK. For a business certificate the PEM,
	// or the x5c of the JWK, holds its chain too, the key's own first.
	Key auth.Secret `json:"-"`
	// KeyID is the kid that the service gave the key. Default: that of the JWK.
	// Without one, Key must hold certificates.
	KeyID string
	// Scopes are those of the API.
	Scopes []string
	// Resource names the API that the token is for, where that wants to be
	// named.
	Resource []string
	// Transport makes the requests. Default: http.DefaultTransport.
	Transport http.RoundTripper `json:"-"`
	// Timeout ends a fetch of a token. Default: 10 s.
	Timeout time.Duration
}

// String describes the options without the key and the transport.
func (c Config) String() string {
	return fmt.Sprintf("maskinporten.Config{TokenURL: %q, ClientID: %q, KeyID: %q, Scopes: %q}", c.TokenURL, c.ClientID, c.KeyID, c.Scopes)
}

// Format prints what String returns, for every verb.
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue keeps the transport, which may hold keys, out of logs.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

func (c Config) withDefaults() Config {
	if c.TokenURL == "" {
		c.TokenURL = "https://maskinporten.no/token"
	}
	if u, err := url.Parse(c.TokenURL); err == nil && c.Audience == "" {
		c.Audience = u.Scheme + "://" + u.Host + "/"
	}
	c.Scopes, c.Resource = slices.Clone(c.Scopes), slices.Clone(c.Resource)
	return c
}

func (c Config) validate() error {
	switch {
	case c.ClientID == "":
		return errors.New("ClientID: must be set")
	case c.Key == nil:
		return errors.New("Key: must be set: use auth.File or auth.Env")
	case len(c.Scopes) == 0:
		return errors.New("Scopes: must hold those of the API")
	case slices.ContainsFunc(c.Scopes, func(s string) bool { return s == "" || strings.ContainsAny(s, " \t\r\n") }):
		return errors.New("Scopes: each must be one word")
	}
	_, err := c.signer()
	return err
}

// New returns an Authenticator that sends tokens as [auth.Bearer] does.
func New(cfg Config) (gateway.Authenticator, error) {
	cfg = cfg.withDefaults()
	endpoint := oauth.Endpoint{URL: cfg.TokenURL, Transport: cfg.Transport, Timeout: cfg.Timeout}
	if err := endpoint.Validate(); err != nil {
		return nil, err
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return auth.Bearer(func(ctx context.Context) (*oauth2.Token, error) {
		assertion, err := cfg.assertion(time.Now())
		if err != nil {
			return nil, failure.As(failure.Unavailable, err)
		}
		return endpoint.Fetch(ctx, clientcredentials.Config{
			AuthStyle:      oauth2.AuthStyleInParams,
			EndpointParams: url.Values{"grant_type": {grantType}, "assertion": {assertion}},
		}, assertion)
	})
}

// claims are all that the service knows: it refuses others.
type claims struct {
	Audience string   `json:"aud"`
	Issuer   string   `json:"iss"`
	IssuedAt int64    `json:"iat"`
	Expiry   int64    `json:"exp"`
	ID       string   `json:"jti"`
	Scope    string   `json:"scope"`
	Resource []string `json:"resource,omitempty"` // it takes an array only
}

func (c Config) assertion(now time.Time) (string, error) {
	signer, err := c.signer()
	if err != nil {
		return "", err
	}
	assertion, err := jwt.Signed(signer).Claims(claims{
		Audience: c.Audience, Issuer: c.ClientID,
		IssuedAt: now.Unix(), Expiry: now.Add(lifetime).Unix(), ID: rand.Text(),
		Scope: strings.Join(c.Scopes, " "), Resource: c.Resource,
	}).Serialize()
	if err != nil {
		return "", errors.New("Key: cannot sign") // the cause might say more than it should
	}
	return assertion, nil
}

func (c Config) signer() (jose.Signer, error) {
	text, err := c.Key()
	if err != nil {
		return nil, fmt.Errorf("Key: %w", err)
	}
	k, err := parseKey(string(text))
	if err != nil {
		return nil, fmt.Errorf("Key: %w", err)
	}
	options := (&jose.SignerOptions{}).WithType("JWT")
	if id := c.KeyID; id != "" || k.id != "" {
		if id == "" {
			id = k.id
		}
		options.WithHeader("kid", id)
	} else if len(k.chain) == 0 {
		return nil, errors.New("KeyID: must be set, as Key holds neither a kid nor certificates")
	}
	if len(k.chain) > 0 {
		options.WithHeader("x5c", k.chain)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: k.private}, options)
	if err != nil {
		return nil, errors.New("Key: cannot sign")
	}
	return signer, nil
}
