// Package weblink reads Link headers, RFC 8288.
package weblink

import (
	"net/http"
	"strings"
)

// Next returns the target of the first link with rel="next", or "".
func Next(header http.Header) string {
	rest := strings.Join(header.Values("Link"), ",")
	for {
		_, after, found := strings.Cut(rest, "<")
		target, params, closed := strings.Cut(after, ">")
		if !found || !closed {
			return ""
		}
		var isNext bool
		isNext, rest = linkParams(params)
		if isNext {
			return strings.TrimSpace(target)
		}
	}
}

// linkParams reads the parameters of one link, up to the comma that ends them.
// It reports whether they say rel=next, and returns what follows.
func linkParams(s string) (isNext bool, rest string) {
	seen := false // the first rel counts
	for {
		s = strings.TrimLeft(s, " \t")
		if s == "" || s[0] != ';' {
			return isNext, s
		}
		end := strings.IndexAny(s[1:], "=;,") + 1
		if end == 0 || s[end] != '=' {
			if end == 0 {
				return isNext, ""
			}
			s = s[end:]
			continue
		}
		name := strings.TrimSpace(s[1:end])
		var value string
		value, s = paramValue(strings.TrimLeft(s[end+1:], " \t"))
		if strings.EqualFold(name, "rel") && !seen {
			seen = true
			for rel := range strings.FieldsSeq(value) {
				isNext = isNext || strings.EqualFold(rel, "next")
			}
		}
	}
}

// paramValue cuts a token or quoted string from the front of s.
func paramValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, ";,")
		if end < 0 {
			end = len(s)
		}
		return strings.TrimSpace(s[:end]), s[end:]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:]
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}
