package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/oauth2"

	"github.com/konnektor-go/konnektor/source/gateway"
)

// TokenFunc fetches a new token, and may wait until the context ends. It is
// never called concurrently. It says with package failure what an error means,
// failure.Unavailable with a failure.RetryAfter if it knows one; such an error's
// text is passed on, and must hold no secret. Of other errors only the kind is.
//
// For an oauth2.TokenSource ts it is a function that returns ts.Token().
type TokenFunc func(ctx context.Context) (*oauth2.Token, error)

const bearerPrefix = "Bearer "

// Bearer returns an Authenticator that sends tokens to the backend, as RFC 6750
// has it. It keeps them, so fetch should not.
//
// A refusal by 401 is about the token if it asks for one: its WWW-Authenticate
// says Bearer, and not that the token's scope is too small. So is one without
// WWW-Authenticate that passed the gateway's own check.
func Bearer(fetch TokenFunc) (gateway.Authenticator, error) {
	if fetch == nil {
		return nil, errors.New("fetch: must be set")
	}
	return &bearer{tokens: newTokens(fetch)}, nil
}

type bearer struct{ tokens *tokens }

func (b *bearer) Authenticate(req *http.Request) error {
	token, err := b.tokens.get(req.Context())
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", bearerPrefix+token)
	return nil
}

func (b *bearer) Renew(sent *http.Request, refused *gateway.Response) bool {
	token := strings.TrimPrefix(sent.Header.Get("Authorization"), bearerPrefix)
	return isAboutToken(refused.Header) && b.tokens.drop(token)
}

// isAboutToken reports whether the headers of a 401 ask for another token.
func isAboutToken(h http.Header) bool {
	challenges := h.Values("WWW-Authenticate")
	if len(challenges) == 0 {
		return h.Get("X-Gravitee-Client-Identifier") != ""
	}
	return slices.ContainsFunc(challenges, func(challenge string) bool {
		challenge = strings.ToLower(challenge)
		return strings.Contains(" "+challenge+" ", " bearer ") && !strings.Contains(challenge, "insufficient_scope")
	})
}

func (b *bearer) String() string             { return "auth.Bearer" }
func (b *bearer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, b.String()) }
func (b *bearer) LogValue() slog.Value       { return slog.StringValue(b.String()) }
