package oauthtest_test

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source/gateway"
	"github.com/konnektor-go/konnektor/source/gateway/auth"
	"github.com/stretchr/testify/require"
)

func TestClientCredentials(t *testing.T) {
	for _, inBody := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			a := newAuthority()
			path := filepath.Join(t.TempDir(), "secret")
			write(t, path, a.secret+"\n")
			token, err := auth.ClientCredentials(auth.ClientCredentialsConfig{
				TokenURL: tokenURL, ClientID: clientID, ClientSecret: auth.File(path), Scopes: []string{"iga:read"},
				InBody: inBody, Transport: a,
			})
			require.NoError(t, err)
			b := &backend{authority: a}
			c, err := gateway.New("https://gw.example.no/iga", gateway.Config{Auth: []gateway.Authenticator{token}, Transport: b})
			require.NoError(t, err)
			get := func() error {
				_, err := c.Get(t.Context(), person)
				return err
			}
			require.NoError(t, get())
			require.NoError(t, get())
			require.Equal(t, 1, a.asked)

			old := a.secret
			a.secret = "another secret"
			time.Sleep(2 * life)
			err = get()
			require.Equal(t, failure.Unavailable, failure.Of(err))
			require.ErrorContains(t, err, "401 invalid_client: check the client's id, and its secret or key (it says: no such client, or not its secret)")
			require.NotContains(t, err.Error(), old)

			write(t, path, a.secret)
			time.Sleep(failure.RetryAfter(err))
			require.NoError(t, get())
		})
	}
}
