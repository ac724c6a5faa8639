// Package oauth asks OAuth 2 token endpoints for tokens.
package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/konnektor-go/konnektor/failure"
	"github.com/konnektor-go/konnektor/internal/httpfail"
	"github.com/konnektor-go/konnektor/internal/loopback"
)

const (
	// defaultTimeout ends a fetch. It is far below the timeout of a gateway's
	// client, so that its error is heard.
	defaultTimeout = 10 * time.Second
	// maxDescription is the longest part of an answer that is repeated.
	maxDescription = 200
	// maxWord is longer than any word that explains something, and shorter
	// than tokens, keys and assertions.
	maxWord = 40
)

// Endpoint is a token endpoint. Errors of its methods hold no secret, and their
// texts nothing that looks like one.
type Endpoint struct {
	URL       string
	Transport http.RoundTripper // default: http.DefaultTransport
	Timeout   time.Duration     // default: 10 s
}

// Validate reports why the endpoint cannot be used. The error begins with
// TokenURL or Timeout.
func (e Endpoint) Validate() error {
	u, err := url.Parse(e.URL)
	switch {
	case err != nil: // its text would repeat the URL, and passwords in it
		return errors.New("TokenURL: is not a URL")
	case u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("TokenURL: must be a URL that begins with https://")
	case u.User != nil:
		return errors.New("TokenURL: must not hold a user or password")
	case u.Scheme == "http" && !loopback.Is(u.Hostname()):
		return errors.New("TokenURL: must begin with https://; http is for loopback addresses only, as secrets would travel in the clear")
	case u.Fragment != "":
		return errors.New("TokenURL: must not have a fragment")
	case e.Timeout < 0:
		return errors.New("Timeout: must not be negative; 0 means the default")
	}
	return nil
}

// Fetch asks for a token. The URL of cfg is the endpoint's. Its errors are
// failure.Unavailable, but for the end of the context. What the endpoint says of
// its reasons is repeated, unless it holds one of the secrets.
func (e Endpoint) Fetch(ctx context.Context, cfg clientcredentials.Config, secrets ...string) (*oauth2.Token, error) {
	cfg.TokenURL = e.URL
	client := &http.Client{
		Transport: e.Transport,
		Timeout:   e.Timeout,
		// A POST with secrets goes where it was meant to go.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if client.Timeout == 0 {
		client.Timeout = defaultTimeout
	}
	token, err := cfg.Token(context.WithValue(ctx, oauth2.HTTPClient, client))
	var refused *oauth2.RetrieveError
	switch {
	case err == nil:
		return token, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.As(err, &refused):
		after := httpfail.RetryAfter(refused.Response.Header.Get("Retry-After"), time.Now())
		return nil, failure.UnavailableFor(after, fmt.Errorf("the token endpoint answered %s", explain(refused, secrets)))
	default:
		return nil, failure.As(failure.Unavailable, fmt.Errorf("the token endpoint gave no token: %s", describe(err)))
	}
}

// describe names the cause of an error that is not a refusal. Errors of
// x/oauth2 itself are about the answer, and may quote it.
func describe(err error) string {
	var transport *url.Error
	if errors.As(err, &transport) {
		return httpfail.Describe(err)
	}
	return "its answer broke off, or is not one of OAuth 2"
}

// explain says what an endpoint answered instead of a token, and what to check.
func explain(refused *oauth2.RetrieveError, secrets []string) string {
	status := refused.Response.StatusCode
	text := fmt.Sprint(status)
	if fix, known := fixes[refused.ErrorCode]; known {
		text += " " + refused.ErrorCode + ": " + fix
	} else {
		switch {
		case status >= 300 && status < 400:
			text += ": redirects are not followed: check the URL"
		case status == http.StatusNotFound:
			text += ": check the URL"
		case status >= 500, status == http.StatusTooManyRequests:
			text += ": " + strings.ToLower(http.StatusText(status))
		default:
			text += ": no reason that OAuth 2 knows"
		}
	}
	if said := clean(refused.ErrorDescription, secrets); said != "" {
		text += fmt.Sprintf(" (it says: %s)", said)
	}
	return text + skew(refused.Response.Header.Get("Date"))
}

// fixes are the error codes of RFC 6749, section 5.2, and RFC 8707.
var fixes = map[string]string{
	"invalid_request":        "check the parameters",
	"invalid_client":         "check the client's id, and its secret or key",
	"invalid_grant":          "check the key, the audience and the clock",
	"unauthorized_client":    "the client may not ask for tokens in this way",
	"unsupported_grant_type": "the endpoint does not know this way to ask for tokens: check the URL",
	"invalid_scope":          "check the scopes, and that the client was given them",
	"invalid_target":         "check the resource or audience",
}

// clean returns what can be shown of an explanation.
func clean(said string, secrets []string) string {
	if slices.ContainsFunc(secrets, func(s string) bool { return s != "" && strings.Contains(said, s) }) {
		return ""
	}
	said = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, said)
	words := strings.Fields(said)
	for i, word := range words {
		if len(word) > maxWord {
			words[i] = "***"
		}
	}
	said = strings.Join(words, " ")
	if len(said) > maxDescription {
		said = strings.ToValidUTF8(said[:maxDescription], "") + "..."
	}
	return said
}

// skew says when clocks differ so much that assertions are refused. The answer
// to a POST comes from no cache.
func skew(date string) string {
	t, err := http.ParseTime(date)
	if err != nil {
		return ""
	}
	if d := time.Until(t).Truncate(time.Second); d.Abs() >= 5*time.Second {
		return fmt.Sprintf("; its clock differs from this one by %v", d)
	}
	return ""
}
