package auth_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/source/gateway"
	"github.com/konnektor-go/konnektor/source/gateway/auth"
)

func TestFile(t *testing.T) {
	path := fileWith(t, "one\r\n\n")
	s := auth.File(path)
	read := func() string {
		v, err := s()
		require.NoError(t, err)
		return string(v)
	}
	write := func(text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }

	require.Equal(t, "one", read())
	write("two")
	require.Equal(t, "two", read(), "read again, though size and perhaps time are the same")
	write("")
	require.Equal(t, "two", read(), "an empty file is one that is being written")
	require.NoError(t, os.Remove(path))
	require.Equal(t, "two", read(), "so is a missing one")
	write(strings.Repeat("x", 1<<20))
	require.Equal(t, "two", read(), "something else")
	write(" three words\n")
	require.Equal(t, " three words", read(), "only line breaks at the end are cut")
}

// A file that has not changed for a while is not read, only looked at.
func TestSettledFile(t *testing.T) {
	old := time.Now().Add(-time.Hour)
	path := fileWith(t, "one")
	require.NoError(t, os.Chtimes(path, old, old))
	s := auth.File(path)
	read := func() string {
		v, err := s()
		require.NoError(t, err)
		return string(v)
	}
	require.Equal(t, "one", read())
	require.Equal(t, "one", read())

	other := fileWith(t, "two")
	require.NoError(t, os.Chtimes(other, old, old))
	require.NoError(t, os.Rename(other, path))
	require.Equal(t, "two", read(), "replaced by a file of the same size and time")
	require.NoError(t, os.WriteFile(path, []byte("six"), 0o600))
	require.Equal(t, "six", read(), "written in place, the same size")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte("ten"), 0o600))
	require.NoError(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
	require.Equal(t, "ten", read(), "and again, at the same time for a coarse clock")
	require.NoError(t, os.Chtimes(path, old, old))
	require.Equal(t, "ten", read())
	require.NoError(t, os.WriteFile(path, []byte("eleven"), 0o600))
	require.NoError(t, os.Chtimes(path, old, old))
	require.Equal(t, "eleven", read(), "the same time, another size")
}

// TestFileOfKubernetes swaps the link that all files of a volume lie behind.
func TestFileOfKubernetes(t *testing.T) {
	dir := t.TempDir()
	swap := func(version string) {
		require.NoError(t, os.Mkdir(filepath.Join(dir, version), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, version, "key"), []byte(version), 0o600))
		require.NoError(t, os.Symlink(version, filepath.Join(dir, "tmp")))
		require.NoError(t, os.Rename(filepath.Join(dir, "tmp"), filepath.Join(dir, "..data")))
	}
	swap("v1")
	require.NoError(t, os.Symlink(filepath.Join("..data", "key"), filepath.Join(dir, "key")))
	s := auth.File(filepath.Join(dir, "key"))
	for _, version := range []string{"v1", "v2", "v3"} {
		if version != "v1" {
			swap(version)
		}
		v, err := s()
		require.NoError(t, err)
		require.Equal(t, version, string(v))
	}
}

func TestSecretsMissing(t *testing.T) {
	t.Setenv("KONNEKTOR_EMPTY", "")
	tests := []struct {
		name   string
		secret auth.Secret
		text   string
	}{
		{name: "file", secret: auth.File("/nowhere/key"), text: "key: open /nowhere/key: no such file or directory"},
		{name: "directory", secret: auth.File(t.TempDir()), text: "is a directory"},
		{name: "empty file", secret: auth.File(fileWith(t, "\n")), text: "is empty"},
		{name: "large file", secret: auth.File(fileWith(t, strings.Repeat("x", 1<<20))), text: "is over 262144 bytes"},
		{name: "variable", secret: auth.Env("KONNEKTOR_NONE"), text: "key: the environment variable KONNEKTOR_NONE is not set, or empty"},
		{name: "empty variable", secret: auth.Env("KONNEKTOR_EMPTY"), text: "KONNEKTOR_EMPTY is not set, or empty"},
		{name: "empty value", secret: auth.Value(""), text: "key: is empty"},
		{name: "two lines", secret: auth.Value(secret + "\n" + secret), text: "key: holds a space, a line break"},
		{name: "not given", text: "key: must be set"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := auth.APIKey(tt.secret)
			require.ErrorContains(t, err, tt.text)
			require.NotContains(t, err.Error(), secret)
		})
	}
}

func TestAPIKey(t *testing.T) {
	t.Setenv("KONNEKTOR_KEY", "from-the-environment")
	a, err := auth.APIKey(auth.Env("KONNEKTOR_KEY"))
	require.NoError(t, err)
	b := &backend{header: "X-Gravitee-Api-Key"}
	require.NoError(t, get(t, newClient(t, b, a)))
	require.Equal(t, []string{"from-the-environment"}, b.sent)
}

func TestKeyRotation(t *testing.T) {
	path := fileWith(t, "old")
	a, err := auth.APIKey(auth.File(path))
	require.NoError(t, err)
	valid := "old"
	b := &backend{header: "X-Gravitee-Api-Key", accept: func(s string) bool {
		if s == "old" && valid == "new" { // the file changes while the request is under way
			require.NoError(t, os.WriteFile(path, []byte("new"), 0o600))
		}
		return s == valid
	}}
	c := newClient(t, b, a)
	require.NoError(t, get(t, c))
	valid = "new"
	require.NoError(t, get(t, c), "sent again with the new key")
	require.NoError(t, get(t, c))
	require.Equal(t, []string{"old", "old", "new", "new"}, b.sent)

	valid = "newer" // the gateway knows no such key yet, or not any more
	require.Equal(t, failure.Unavailable, failure.Of(get(t, c)))
	require.Len(t, b.sent, 5, "the same key is not sent again")
}

func TestBasic(t *testing.T) {
	path := fileWith(t, "pass: wörd\n")
	a, err := auth.Basic("iga", auth.File(path))
	require.NoError(t, err)
	b := &backend{}
	require.NoError(t, get(t, newClient(t, b, a)))
	require.Equal(t, []string{"Basic aWdhOnBhc3M6IHfDtnJk"}, b.sent)

	tests := []struct {
		name, user string
		password   auth.Secret
		text       string
	}{
		{name: "colon", user: "a:b", password: auth.Value("x"), text: "user: must not hold a colon"},
		{name: "control", user: "a\n", password: auth.Value("x"), text: "user: must not hold a colon or a control"},
		{name: "no password", user: "a", text: "password: must be set"},
		{name: "missing", user: "a", password: auth.File("/nowhere/x"), text: "password: open /nowhere/x"},
		{name: "two lines", user: "a", password: auth.Value("x\ny"), text: "password: holds a line break"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := auth.Basic(tt.user, tt.password)
			require.ErrorContains(t, err, tt.text)
		})
	}
}

// TestNothingShows prints everything in every way, also after a token was got.
func TestNothingShows(t *testing.T) {
	key, err := auth.APIKey(auth.File(fileWith(t, secret)))
	require.NoError(t, err)
	basic, err := auth.Basic("iga", auth.Value(secret))
	require.NoError(t, err)
	token := clientCredentials(t, &endpoint{life: "3600"})
	c := newClient(t, &backend{}, key, token)
	require.NoError(t, get(t, c))

	cfg := auth.ClientCredentialsConfig{TokenURL: tokenURL, ClientID: "connector", ClientSecret: auth.Value(secret), Transport: &http.Transport{
		ProxyConnectHeader: http.Header{"Proxy-Authorization": {secret}},
	}}
	values := map[string]any{
		"key": key, "basic": basic, "token": token, "client": c, "config": cfg, "*config": &cfg,
		"secret": auth.Value(secret), "file": auth.File(fileWith(t, secret)),
		"slice": []gateway.Authenticator{key, basic, token}, "gateway": gateway.Config{Auth: []gateway.Authenticator{key, basic, token}},
		"in a struct": struct {
			A gateway.Authenticator
			c *gateway.Client
			t gateway.Authenticator
		}{basic, c, token},
	}
	for name, v := range values {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
				fmt.Fprintf(&out, verb+"\n", v)
			}
			for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
				slog.New(h).Info("x", "v", v)
			}
			if b, err := json.Marshal(v); err == nil {
				out.Write(b)
			}
			func() {
				defer func() { fmt.Fprint(&out, recover()) }()
				panic(v)
			}()
			for _, hidden := range []string{secret, "token-x", "aWdhOn"} {
				require.NotContains(t, out.String(), hidden)
				require.NotContains(t, out.String(), fmt.Sprintf("%x", hidden))
				require.NotContains(t, out.String(), fmt.Sprintf("%d", []byte(hidden)))
			}
		})
	}
}

func TestOwnSecretsFail(t *testing.T) {
	var fail error
	a, err := auth.APIKey(func() (gateway.Secret, error) { return secret, fail })
	require.NoError(t, err)
	b := &backend{}
	c := newClient(t, b, a)
	require.NoError(t, get(t, c))
	fail = errors.New("the vault is sealed")
	err = get(t, c)
	require.Equal(t, failure.Unavailable, failure.Of(err))
	require.ErrorContains(t, err, "no credentials: key: the vault is sealed")
	require.Len(t, b.sent, 1)
}
