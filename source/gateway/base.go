package gateway

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/konnektor-go/konnektor/internal/loopback"
	"github.com/konnektor-go/konnektor/internal/urlpath"
)

// bases are the base URLs of one API: those of several gateways.
type bases struct {
	urls    []string // without a slash at the end
	path    string   // the same for all
	current atomic.Int32
}

func newBases(baseURL string, alternatives []string) (*bases, error) {
	base, path, err := parseBase(baseURL)
	if err != nil {
		return nil, fmt.Errorf("baseURL: %w", err)
	}
	b := &bases{urls: []string{base}, path: path}
	for i, other := range alternatives {
		base, path, err := parseBase(other)
		switch {
		case err != nil:
			return nil, fmt.Errorf("Alternatives[%d]: %w", i, err)
		case path != b.path:
			return nil, fmt.Errorf("Alternatives[%d]: must have the path of baseURL: it is the same API", i)
		}
		b.urls = append(b.urls, base)
	}
	return b, nil
}

// failed makes another base the current one, unless somebody has already.
func (b *bases) failed(base string) {
	i := b.current.Load()
	if b.urls[i] == base {
		b.current.CompareAndSwap(i, (i+1)%int32(len(b.urls)))
	}
}

func (b *bases) pick() string { return b.urls[b.current.Load()] }

// parseBase checks a base URL. It returns the URL without a slash at its end,
// and its path.
func parseBase(baseURL string) (base, path string, err error) {
	u, err := url.Parse(baseURL)
	switch {
	case err != nil: // its text would repeat the URL, and passwords in it
		return "", "", errors.New("is not a URL")
	case u.Scheme != "https" && u.Scheme != "http":
		return "", "", errors.New("must begin with https://")
	case u.Hostname() == "" || u.Opaque != "":
		return "", "", errors.New("has no host")
	case u.User != nil:
		return "", "", errors.New("must not hold a user or password; use Config.Key or Config.Auth")
	case strings.ContainsAny(baseURL, "?#"):
		return "", "", errors.New("must not have a query or fragment; use Request.Query")
	case u.Scheme == "http" && !loopback.Is(u.Hostname()):
		return "", "", errors.New("must begin with https://; http is for loopback addresses only, as the key would travel in the clear")
	}
	path = strings.TrimSuffix(u.EscapedPath(), "/")
	if strings.HasSuffix(path, "/") {
		return "", "", errors.New("must not end with more than one slash")
	}
	if path != "" {
		if err := urlpath.Check(path[1:]); err != nil {
			return "", "", err
		}
	}
	return u.Scheme + "://" + u.Host + path, path, nil
}
