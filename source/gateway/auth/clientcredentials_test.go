package auth_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source/gateway/auth"
)

func TestClientCredentialsRequest(t *testing.T) {
	for _, inBody := range []bool{false, true} {
		var form url.Values
		var sent, user, password string
		var basic bool
		e := &endpoint{life: "3600", answer: func(_ http.ResponseWriter, r *http.Request) bool {
			sent = r.Method + " " + r.URL.String()
			_ = r.ParseForm() // what it could not read is missing
			form = r.PostForm
			user, password, basic = r.BasicAuth()
			return false
		}}
		a, err := auth.ClientCredentials(auth.ClientCredentialsConfig{
			TokenURL: tokenURL, ClientID: "a connector", ClientSecret: auth.Value(secret + "/+"), Scopes: []string{"a", "b"},
			Params: url.Values{"resource": {"https://iga.example.no"}}, InBody: inBody, Transport: transport(e.ServeHTTP),
		})
		require.NoError(t, err)
		b := &backend{}
		require.NoError(t, get(t, newClient(t, b, a)))
		require.Equal(t, []string{"Bearer token-x"}, b.sent)
		require.Equal(t, "POST "+tokenURL, sent)

		want := url.Values{"grant_type": {"client_credentials"}, "scope": {"a b"}, "resource": {"https://iga.example.no"}}
		require.Equal(t, !inBody, basic)
		if inBody {
			want["client_id"], want["client_secret"] = []string{"a connector"}, []string{secret + "/+"}
		} else { // RFC 6749, section 2.3.1: both are form-encoded first
			require.Equal(t, "a+connector", user)
			require.Equal(t, url.QueryEscape(secret+"/+"), password)
		}
		require.Equal(t, want, form)
	}
}

func TestClientCredentialsConfig(t *testing.T) {
	good := func() auth.ClientCredentialsConfig {
		return auth.ClientCredentialsConfig{TokenURL: tokenURL, ClientID: "c", ClientSecret: auth.Value(secret)}
	}
	tests := []struct {
		name   string
		change func(*auth.ClientCredentialsConfig)
		text   string
	}{
		{name: "no URL", change: func(c *auth.ClientCredentialsConfig) { c.TokenURL = "" }, text: "TokenURL: must be a URL that begins with https://"},
		{name: "http", change: func(c *auth.ClientCredentialsConfig) { c.TokenURL = "http://login.example.no/" }, text: "TokenURL: must begin with https://; http is for loopback"},
		{name: "password", change: func(c *auth.ClientCredentialsConfig) { c.TokenURL = "https://u:" + secret + "@x/" }, text: "TokenURL: must not hold a user or password"},
		{name: "broken", change: func(c *auth.ClientCredentialsConfig) { c.TokenURL = "https://u:" + secret + "@x:y/" }, text: "TokenURL: is not a URL"},
		{name: "fragment", change: func(c *auth.ClientCredentialsConfig) { c.TokenURL += "#x" }, text: "TokenURL: must not have a fragment"},
		{name: "timeout", change: func(c *auth.ClientCredentialsConfig) { c.Timeout = -1 }, text: "Timeout: must not be negative"},
		{name: "id", change: func(c *auth.ClientCredentialsConfig) { c.ClientID = "" }, text: "ClientID: must be set"},
		{name: "secret", change: func(c *auth.ClientCredentialsConfig) { c.ClientSecret = nil }, text: "ClientSecret: must be set"},
		{name: "empty secret", change: func(c *auth.ClientCredentialsConfig) { c.ClientSecret = auth.Value("") }, text: "ClientSecret: is empty"},
		{name: "missing secret", change: func(c *auth.ClientCredentialsConfig) { c.ClientSecret = auth.File("/nowhere/x") }, text: "ClientSecret: open /nowhere/x"},
		{name: "param", change: func(c *auth.ClientCredentialsConfig) { c.Params = url.Values{"scope": {"x"}} }, text: "Params: scope has a field"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := good()
			tt.change(&cfg)
			_, err := auth.ClientCredentials(cfg)
			require.ErrorContains(t, err, tt.text)
			require.NotContains(t, err.Error(), secret)
		})
	}
	_, err := auth.ClientCredentials(good())
	require.NoError(t, err)
	loopback := good()
	loopback.TokenURL = "http://127.0.0.1:1/token"
	_, err = auth.ClientCredentials(loopback)
	require.NoError(t, err)
	_, err = auth.Bearer(nil)
	require.ErrorContains(t, err, "fetch: must be set")
}

func TestClientSecretRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := fileWith(t, "old")
		valid := "old"
		e := &endpoint{life: "120", answer: func(w http.ResponseWriter, r *http.Request) bool {
			if _, password, _ := r.BasicAuth(); password == valid {
				return false
			}
			return refusal(401, "invalid_client", "")(w, r)
		}}
		a, err := auth.ClientCredentials(auth.ClientCredentialsConfig{
			TokenURL: tokenURL, ClientID: "c", ClientSecret: auth.File(path), Transport: transport(e.ServeHTTP),
		})
		require.NoError(t, err)
		c := newClient(t, &backend{}, a)
		require.NoError(t, get(t, c))
		valid = "new"
		time.Sleep(time.Hour)
		err = get(t, c)
		require.Equal(t, failure.Unavailable, failure.Of(err))
		require.ErrorContains(t, err, "the token endpoint answered 401 invalid_client: check the client's id, and its secret or key")
		require.NoError(t, os.WriteFile(path, []byte("new"), 0o600))
		time.Sleep(failure.RetryAfter(err))
		require.NoError(t, get(t, c))
	})
}

// refusal answers as RFC 6749, section 5.2, has it.
func refusal(code int, reason, description string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = w.Write([]byte(`{"error":"` + reason + `","error_description":"` + description + `"}`))
		return true
	}
}

func TestRefusalsAreReported(t *testing.T) {
	date := func(ahead time.Duration) string {
		return time.Now().Add(ahead).UTC().Format(http.TimeFormat)
	}
	const jwt = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIn0.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
	tests := []struct {
		name   string
		answer func(http.ResponseWriter, *http.Request) bool
		text   string
	}{
		{name: "client", answer: refusal(401, "invalid_client", "no such client"), text: "401 invalid_client: check the client's id, and its secret or key (it says: no such client)"},
		{name: "grant", answer: refusal(400, "invalid_grant", ""), text: "400 invalid_grant: check the key, the audience and the clock"},
		{name: "scope", answer: refusal(400, "invalid_scope", "a:b"), text: "400 invalid_scope: check the scopes, and that the client was given them (it says: a:b)"},
		{name: "with 200", answer: refusal(200, "invalid_request", ""), text: "200 invalid_request: check the parameters"},
		{name: "repeats the secret", answer: refusal(400, "invalid_client", "wrong: "+secret), text: "invalid_client: check the client's id, and its secret or key (tr"},
		{name: "repeats a token", answer: refusal(400, "invalid_grant", "expired "+jwt), text: "(it says: expired ***)"},
		{name: "unknown reason", answer: refusal(400, secret, ""), text: "answered 400: no reason that OAuth 2 knows"},
		{name: "long", answer: refusal(400, "invalid_grant", strings.Repeat("word ", 100)), text: "word ...)"},
		{name: "unprintable", answer: refusal(400, "invalid_grant", `a\u0000\u001b[31m\nb`), text: "(it says: a [31m b)"},
		{name: "redirect", answer: status(307, "Location", "https://evil.example.no/"), text: "answered 307: redirects are not followed: check the URL"},
		{name: "not there", answer: status(404), text: "answered 404: check the URL"},
		{name: "not allowed", answer: status(403), text: "answered 403: no reason that OAuth 2 knows"},
		{name: "down", answer: status(502), text: "answered 502: bad gateway"},
		{name: "clock behind", answer: status(400, "Date", date(time.Minute)), text: "its clock differs from this one by "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, b := &endpoint{answer: tt.answer}, &backend{}
			err := get(t, newClient(t, b, clientCredentials(t, e)))
			require.Equal(t, failure.Unavailable, failure.Of(err), "nobody's error")
			require.ErrorContains(t, err, tt.text)
			require.NotContains(t, err.Error(), secret)
			require.NotContains(t, err.Error(), jwt)
			require.Equal(t, 1, e.fetches())
			require.Empty(t, b.sent)
		})
	}
}

// TestSecretsStayHome has a token endpoint and a backend that both point
// elsewhere, where nothing must arrive.
func TestSecretsStayHome(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s with %v", r.Method, r.URL, r.Header)
	}))
	defer elsewhere.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		login := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", elsewhere.URL)
			w.WriteHeader(code)
		}))
		a, err := auth.ClientCredentials(auth.ClientCredentialsConfig{
			TokenURL: login.URL, ClientID: "c", ClientSecret: auth.Value(secret), InBody: true,
		})
		require.NoError(t, err)
		err = get(t, newClient(t, &backend{}, a))
		require.ErrorContains(t, err, "redirects are not followed")
		login.Close()
	}
}
