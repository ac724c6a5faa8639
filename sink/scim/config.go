package scim

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/internal/loopback"
	"github.com/konnektor-go/konnektor/internal/urlpath"
)

// Write is how resources are changed.
type Write int

// The ways to change a resource. The zero Write is Advertised.
const (
	// Advertised is PATCH if the provider's configuration says that it is
	// supported, else PUT.
	Advertised Write = iota
	// Patch sends what differs (RFC 7644, section 3.5.2).
	Patch
	// Put sends the whole resource: what the provider holds with what differs
	// in its place (section 3.5.1).
	Put
)

// Config configures an [Endpoint]. The zero Config works for a T that is, or
// embeds, [User] or [Group], at a provider that wants no credentials.
type Config struct {
	// Path is the endpoint below the base URL. Default: "Users" or "Groups", as
	// T says.
	Path string
	// Schemas are the URNs of the schemas of a new resource. Those of extensions
	// that T names are added. Default: that of User or Group, as T says.
	Schemas []string
	// Key is the attribute by which entities are found: "externalId", "userName"
	// or another of the resource's own. It must be unique among those that the
	// connector can see. Default "externalId".
	Key string
	// Value returns what Key holds for an entity. It must differ between
	// entities. Default: the key's ID.
	Value func(key entity.Key) string `json:"-"`
	// Types limits which values of a multi-valued attribute are ours, by their
	// type: with {"emails": {"work"}}, addresses of other types are left alone.
	// Default: an attribute that T names is ours with all its values.
	Types map[string][]string
	// Write is how resources are changed. Default: as the provider advertises.
	Write Write
	// NoFilter is for providers that cannot filter by Key, but do not say so:
	// each read then goes through the whole listing.
	NoFilter bool
	// Summary says that the provider's listings do not hold all of a resource,
	// such as the members of groups: what is found is read by its id.
	Summary bool
	// PageSize is how many resources are asked for in one page of a listing.
	// Default 100.
	PageSize int
	// PatchSize is how many values are added or removed by one PATCH: a group
	// that differs in more members gets several. Default 500.
	PatchSize int
	// Auth sets the credentials of each request, such as [Bearer] does. Its
	// error says nothing secret; the request is not sent then, which is
	// failure.Unavailable. Default: none.
	Auth func(req *http.Request) error `json:"-"`
	// Transport makes the requests. Default: a copy of http.DefaultTransport
	// that keeps 64 idle connections.
	Transport http.RoundTripper `json:"-"`
	// Timeout ends one request, at the last byte of the body. Default 30 s.
	Timeout time.Duration
	// MaxBody is the largest answer, in bytes. Default 10 MiB.
	MaxBody int64
}

func (c Config) withDefaults(t reflect.Type) Config {
	path, schema := known(t)
	if c.Path == "" {
		c.Path = path
	}
	if c.Schemas == nil && schema != "" {
		c.Schemas = []string{schema}
	}
	if c.Key == "" {
		c.Key = "externalId"
	}
	if c.Value == nil {
		c.Value = func(key entity.Key) string { return key.ID }
	}
	if c.PageSize == 0 {
		c.PageSize = 100
	}
	if c.PatchSize == 0 {
		c.PatchSize = 500
	}
	if c.Auth == nil {
		c.Auth = func(*http.Request) error { return nil }
	}
	if c.Transport == nil {
		c.Transport = newTransport()
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.MaxBody == 0 {
		c.MaxBody = 10 << 20
	}
	return c
}

func newTransport() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	t = t.Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, 64 // a connector has many workers and one host
	t.IdleConnTimeout = 30 * time.Second          // before servers end it
	return t
}

// validate checks a Config that has its defaults.
func (c Config) validate() error {
	switch {
	case c.Path == "":
		return errors.New("Path: must be set, as T is neither a User nor a Group")
	case c.Path != url.PathEscape(c.Path) || urlpath.Check(c.Path) != nil:
		return errors.New("Path: must be one segment without characters that need an escape, such as Users")
	case len(c.Schemas) == 0:
		return errors.New("Schemas: must name one, as T is neither a User nor a Group")
	case !isName(c.Key):
		return errors.New("Key: must be the name of an attribute, such as externalId")
	case c.Write < Advertised || c.Write > Put:
		return errors.New("Write: must be Advertised, Patch or Put")
	case c.PageSize < 0:
		return errors.New("PageSize: must not be negative; 0 means the default")
	case c.PatchSize < 0:
		return errors.New("PatchSize: must not be negative; 0 means the default")
	case c.Timeout < 0:
		return errors.New("Timeout: must not be negative; 0 means the default")
	case c.MaxBody < 0:
		return errors.New("MaxBody: must not be negative; 0 means the default")
	}
	for _, s := range c.Schemas {
		if !isURN(s) {
			return errors.New("Schemas: must be URNs, such as " + userSchema)
		}
	}
	for name := range c.Types {
		if !isName(name) {
			return fmt.Errorf("Types: %q must be the name of an attribute, such as emails", name)
		}
	}
	return nil
}

// parseBase checks a base URL, and returns it without a slash at its end.
func parseBase(baseURL string) (string, error) {
	u, err := url.Parse(baseURL)
	switch {
	case err != nil: // its text would repeat the URL, and passwords in it
		return "", errors.New("baseURL: is not a URL")
	case u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "":
		return "", errors.New("baseURL: must begin with https:// and a host")
	case u.User != nil:
		return "", errors.New("baseURL: must not hold a user or password; use Config.Auth")
	case strings.ContainsAny(baseURL, "?#"):
		return "", errors.New("baseURL: must not have a query or fragment")
	case u.Scheme == "http" && !loopback.Is(u.Hostname()):
		return "", errors.New("baseURL: must begin with https://; http is for loopback addresses only, as credentials would travel in the clear")
	}
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	if path != "" {
		if err := urlpath.Check(path[1:]); err != nil {
			return "", fmt.Errorf("baseURL: path %w", err)
		}
	}
	return u.Scheme + "://" + u.Host + path, nil
}

// Bearer returns an Auth that sends a token which does not change. For tokens
// that do, use the SetAuthHeader of an oauth2.Token, or the Authenticate of an
// authenticator for the gateway.
func Bearer(token string) func(req *http.Request) error {
	return func(req *http.Request) error {
		req.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
}
