package auth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"golang.org/x/oauth2"

	"github.com/konnektor-go/konnektor/source/gateway"
	"github.com/konnektor-go/konnektor/source/gateway/auth"
)

// A key for the gateway, from a file that may change at any time, and a token
// for the backend.
func Example() {
	login := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"t0ken","token_type":"Bearer","expires_in":3600}`)
	}))
	defer login.Close()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%q", r.Header.Get("X-Gravitee-Api-Key")+", "+r.Header.Get("Authorization"))
	}))
	defer api.Close()
	dir, err := os.MkdirTemp("", "secrets")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "iga-key")
	if err := os.WriteFile(file, []byte("k3y\n"), 0o600); err != nil {
		fmt.Println(err)
		return
	}

	key, err := auth.APIKey(auth.File(file))
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := auth.ClientCredentials(auth.ClientCredentialsConfig{
		TokenURL: login.URL, ClientID: "people-to-ldap", ClientSecret: auth.Value("s3cret"), Scopes: []string{"iga:read"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := gateway.New(api.URL, gateway.Config{Auth: []gateway.Authenticator{key, token}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.CloseIdleConnections()
	resp, err := client.Get(context.Background(), gateway.Request{Path: "persons/1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(resp.Body))
	// Output: "k3y, Bearer t0ken"
}

// Any oauth2.TokenSource gives tokens.
func ExampleBearer() {
	source := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "t0ken"})
	token, err := auth.Bearer(func(context.Context) (*oauth2.Token, error) { return source.Token() })
	if err != nil {
		fmt.Println(err)
		return
	}
	req := httptest.NewRequest(http.MethodGet, "https://gw.example.no/iga", http.NoBody)
	fmt.Println(token.Authenticate(req), req.Header.Get("Authorization"))
	// Output: <nil> Bearer t0ken
}
