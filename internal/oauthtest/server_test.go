package oauthtest_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const (
	issuer   = "https://maskinporten.test/"
	tokenURL = "https://maskinporten.test/token"
	clientID = "integration-1"
	life     = 2 * time.Minute
)

// authority is an OAuth 2 server. zitadel/oidc reads the requests and verifies
// the assertions; authority adds what Maskinporten does beyond RFC 7523.
type authority struct {
	op.UnimplementedServer
	handler http.Handler

	mu     sync.Mutex
	keys   map[string]*rsa.PublicKey // by kid
	roots  *x509.CertPool            // of x5c
	secret string                    // of the client
	ahead  time.Duration             // of its clock, to us
	used   map[string]bool           // jti
	live   map[string]time.Time      // tokens, with their ends
	asked  int
	scopes []string // those that the client has
}

func newAuthority() *authority {
	a := &authority{
		keys: map[string]*rsa.PublicKey{}, roots: x509.NewCertPool(), used: map[string]bool{}, live: map[string]time.Time{},
		scopes: []string{"iga:read", "iga:list"}, secret: "s3cret/+ of the client",
	}
	a.handler = op.RegisterServer(a, op.Endpoints{Token: op.NewEndpoint("token")})
	return a
}

// RoundTrip serves requests in memory, so that it works in a synctest bubble.
func (a *authority) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme+"://"+r.URL.Host+r.URL.Path != tokenURL {
		return nil, errors.New("there is nobody at that address")
	}
	rec := httptest.NewRecorder()
	a.ServeHTTP(rec, r)
	return rec.Result(), nil
}

func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.asked++
	w.Header().Set("Date", a.now().UTC().Format(http.TimeFormat))
	a.mu.Unlock()
	a.handler.ServeHTTP(w, r)
}

func (a *authority) now() time.Time { return time.Now().Add(a.ahead) }

// JWTProfile implements the JWT bearer grant.
func (a *authority) JWTProfile(ctx context.Context, r *op.Request[oidc.JWTProfileGrantRequest]) (*op.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	keys := &registered{authority: a, assertion: r.Data.Assertion}
	verifier := op.NewJWTProfileVerifier(keys, issuer, 0, a.ahead, op.SubjectCheck(func(*oidc.JWTTokenRequest) error { return nil }))
	claims, err := op.VerifyJWTAssertion(ctx, r.Data.Assertion, verifier)
	switch {
	case err != nil:
		return nil, oidc.ErrInvalidGrant().WithParent(err).WithDescription("%v", err)
	case claims.GetExpiration().Sub(claims.GetIssuedAt()) > 120*time.Second:
		return nil, oidc.ErrInvalidGrant().WithDescription("the assertion lives too long")
	case a.now().Sub(claims.GetIssuedAt()).Abs() > 10*time.Second:
		return nil, oidc.ErrInvalidGrant().WithDescription("iat is too far from the clock")
	case claims.Issuer != clientID:
		return nil, oidc.ErrInvalidClient().WithDescription("no such client")
	case claims.JWTID == "" || a.used[claims.JWTID]:
		return nil, oidc.ErrInvalidGrant().WithDescription("the assertion was used before")
	case len(r.PostForm) != 2:
		return nil, oidc.ErrInvalidRequest().WithDescription("parameters that nobody knows")
	}
	for _, name := range []string{"sub", "nbf"} {
		if claims.GetCustomClaim(name) != nil {
			return nil, oidc.ErrInvalidRequest().WithDescription("claims that nobody knows")
		}
	}
	a.used[claims.JWTID] = true
	scope, _ := claims.GetCustomClaim("scope").(string)
	return a.issue(strings.Fields(scope))
}

// issue returns a token.
func (a *authority) issue(scopes []string) (*op.Response, error) {
	for _, s := range scopes {
		if !slices.Contains(a.scopes, s) {
			return nil, oidc.ErrInvalidScope().WithDescription("the client does not have %s", s)
		}
	}
	token := rand.Text()
	a.live[token] = a.now().Add(life)
	return op.NewResponse(oidc.AccessTokenResponse{
		AccessToken: token, TokenType: oidc.BearerToken, ExpiresIn: uint64(life.Seconds()), Scope: scopes,
	}), nil
}

// registered finds the key of an assertion: by its kid, or in its certificates.
type registered struct {
	authority *authority
	assertion string
}

func (k *registered) GetKeyByIDAndClientID(_ context.Context, id, _ string) (*jose.JSONWebKey, error) {
	signed, err := jose.ParseSignedCompact(k.assertion, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return nil, err
	}
	if id != "" {
		if key := k.authority.keys[id]; key != nil {
			return &jose.JSONWebKey{Key: key, KeyID: id}, nil
		}
		return nil, errors.New("no key with this kid")
	}
	chains, err := signed.Signatures[0].Protected.Certificates(x509.VerifyOptions{
		Roots: k.authority.roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, err
	}
	return &jose.JSONWebKey{Key: chains[0][0].PublicKey}, nil
}

// VerifyClient implements the authentication of a client by its secret.
func (a *authority) VerifyClient(_ context.Context, r *op.Request[op.ClientCredentials]) (op.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.Data.ClientID != clientID || subtle.ConstantTimeCompare([]byte(r.Data.ClientSecret), []byte(a.secret)) == 0 {
		return nil, op.NewStatusError(oidc.ErrInvalidClient().WithDescription("no such client, or not its secret"), http.StatusUnauthorized)
	}
	return client{}, nil
}

// ClientCredentialsExchange implements the client credentials grant.
func (a *authority) ClientCredentialsExchange(_ context.Context, r *op.ClientRequest[oidc.ClientCredentialsRequest]) (*op.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.issue(r.Data.Scope)
}

// client may use the client credentials grant only.
type client struct{ op.Client }

func (client) GetID() string                { return clientID }
func (client) AuthMethod() oidc.AuthMethod  { return oidc.AuthMethodBasic }
func (client) GrantTypes() []oidc.GrantType { return []oidc.GrantType{oidc.GrantTypeClientCredentials} }

// backend is an API behind a gateway, which accepts the authority's tokens.
type backend struct {
	authority *authority

	mu    sync.Mutex
	calls int
	keys  []string
}

func (b *backend) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	b.ServeHTTP(rec, r)
	return rec.Result(), nil
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	b.calls++
	b.keys = append(b.keys, r.Header.Get("X-Gravitee-Api-Key"))
	b.mu.Unlock()
	b.authority.mu.Lock()
	end := b.authority.live[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	valid := b.authority.now().Before(end)
	b.authority.mu.Unlock()
	if !valid {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	_, _ = w.Write([]byte(`{"name":"Kari"}`))
}
