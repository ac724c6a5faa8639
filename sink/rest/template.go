package rest

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/konnektor-go/konnektor/internal/loopback"
	"github.com/konnektor-go/konnektor/internal/urlpath"
)

const (
	placeKey = "{key}"
	placeID  = "{id}"
)

// template is a path with a query, and places to be filled in.
type template struct {
	text  string // as declared, for errors
	path  string
	query []param
}

type param struct{ name, value string }

// parseTemplate checks a path with an optional query.
func parseTemplate(text string) (template, error) {
	path, query, _ := strings.Cut(text, "?")
	t := template{text: text, path: path}
	if sample := places(placeKey, "x", placeID, "x").Replace(path); sample != "" {
		if err := urlpath.Check(sample); err != nil {
			return template{}, err
		}
	}
	if query == "" {
		return t, nil
	}
	for p := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(p, "=")
		if name == "" || strings.Contains(name, placeKey) || strings.Contains(value, placeID) {
			return template{}, errors.New("its query must be name=value, with {key} in a value")
		}
		t.query = append(t.query, param{name, value})
	}
	return t, nil
}

func places(oldnew ...string) *strings.Replacer { return strings.NewReplacer(oldnew...) }

// fill returns the path with the query, escaped. Quote is for the key in the
// query. It is an error if the path would not mean one entity below the base.
func (t template) fill(key, id string, quote func(string) string) (string, error) {
	path := places(placeKey, url.PathEscape(key), placeID, url.PathEscape(id)).Replace(t.path)
	if path != "" {
		if err := urlpath.Check(path); err != nil {
			return "", err
		}
	}
	if len(t.query) == 0 {
		return path, nil
	}
	if quote != nil {
		key = quote(key)
	}
	var b strings.Builder
	b.WriteString(path)
	sep := byte('?')
	for _, p := range t.query {
		b.WriteByte(sep)
		sep = '&'
		b.WriteString(url.QueryEscape(p.name))
		b.WriteByte('=')
		b.WriteString(url.QueryEscape(strings.ReplaceAll(p.value, placeKey, key)))
	}
	return b.String(), nil
}

// quotedKey reports whether the key stands within quotes.
func quotedKey(search string) bool {
	before, _, _ := strings.Cut(search, placeKey)
	return strings.Count(before, `"`)%2 == 1 || strings.Count(before, `'`)%2 == 1
}

// parseBase checks the base URL, and returns it without a slash at its end.
func parseBase(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil: // its text would repeat the URL, and passwords in it
		return nil, errors.New("is not a URL")
	case u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "":
		return nil, errors.New("must be a URL that begins with https://")
	case u.User != nil:
		return nil, errors.New("must not hold a user or password; use Config.Header, or the client's transport")
	case strings.ContainsAny(text, "?#"):
		return nil, errors.New("must not have a query or fragment")
	case u.Scheme == "http" && !loopback.Is(u.Hostname()):
		return nil, errors.New("must begin with https://; http is for loopback addresses only, as secrets would travel in the clear")
	}
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	if path != "" {
		if err := urlpath.Check(path[1:]); err != nil {
			return nil, fmt.Errorf("path %w", err)
		}
	}
	return url.Parse(u.Scheme + "://" + u.Host + path)
}
