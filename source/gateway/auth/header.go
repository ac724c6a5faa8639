package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/konnektor-go/konnektor/source/gateway"
)

// APIKey returns an Authenticator that sends the key of a subscription to the
// gateway.
func APIKey(key Secret) (gateway.Authenticator, error) {
	if key == nil {
		return nil, errors.New("key: must be set: use File, Env or Value")
	}
	return newHeader("X-Gravitee-Api-Key", func() (string, error) {
		v, err := visible(key)
		if err != nil {
			return "", fmt.Errorf("key: %w", err)
		}
		return v, nil
	})
}

// Basic returns an Authenticator that sends a user name and a password to the
// backend, as RFC 7617 has it, in UTF-8.
func Basic(user string, password Secret) (gateway.Authenticator, error) {
	switch {
	case strings.ContainsFunc(user, func(r rune) bool { return r == ':' || r < ' ' || r == 0x7f }):
		return nil, errors.New("user: must not hold a colon or a control character")
	case password == nil:
		return nil, errors.New("password: must be set: use File, Env or Value")
	}
	return newHeader("Authorization", func() (string, error) {
		p, err := password()
		if err != nil {
			return "", fmt.Errorf("password: %w", err)
		}
		if strings.ContainsFunc(string(p), func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return "", errors.New("password: holds a line break or another control character")
		}
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+string(p))), nil
	})
}

// header sets one header to what its secret is now.
type header struct {
	name  string
	value func() (string, error)
}

func newHeader(name string, value func() (string, error)) (gateway.Authenticator, error) {
	if _, err := value(); err != nil {
		return nil, err
	}
	return &header{name: name, value: value}, nil
}

func (h *header) Authenticate(req *http.Request) error {
	v, err := h.value()
	if err != nil {
		return err
	}
	req.Header.Set(h.name, v)
	return nil
}

func (h *header) Renew(sent *http.Request, _ *gateway.Response) bool {
	v, err := h.value()
	return err == nil && v != sent.Header.Get(h.name)
}

func (h *header) String() string             { return "auth." + h.name }
func (h *header) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, h.String()) }
func (h *header) LogValue() slog.Value       { return slog.StringValue(h.String()) }
