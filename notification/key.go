package notification

import (
	"errors"
	"net/url"
	"strings"

	"github.com/konnektor-go/konnektor/entity"
)

// KeyOf returns the entity that a subject names, by the default rule:
//
//	https://host/api/v2/accounts/123456   Type "accounts", ID "123456"
//	personer/56154, /personer/56154       Type "personer", ID "56154"
//	/5, 5                                 Type "", ID "5"
//	urn:eksempeltjeneste:5                Type "eksempeltjeneste", ID "5"
//	urn:a:b:5                             Type "a:b", ID "5"
//
// The last path segment is the ID and the one before it the type; both are
// percent-decoded, so that an ID may hold slashes and colons. Host and scheme are
// dropped: providers move. A subject with a query or a fragment is an error,
// since the rule cannot tell what they mean. Where the rule does not fit, use a
// [Template]. Errors do not hold the subject.
func KeyOf(subject string) (entity.Key, error) {
	return keyIn("subject", subject)
}

// keyIn is KeyOf for a subject whose field has another name.
func keyIn(field, subject string) (entity.Key, error) {
	path, urn, err := pathOf(field, subject)
	if err != nil {
		return entity.Key{}, err
	}
	separator := byte('/')
	if urn {
		separator = ':'
	}
	var kind string
	last := strings.LastIndexByte(path, separator)
	id := path[last+1:]
	if last > 0 {
		kind = path[:last]
		if !urn {
			kind = kind[strings.LastIndexByte(kind, '/')+1:]
		}
	}
	return keyOfParts(field, kind, id)
}

// pathOf returns what of a subject names the entity, with its percent-encoding:
// the path without the slash at its end, or the part of a URN after "urn:"
// (RFC 8141).
func pathOf(field, subject string) (path string, urn bool, err error) {
	path = strings.TrimSpace(subject)
	if path == "" {
		return "", false, errors.New(field + ": is empty")
	}
	if len(path) >= 4 && strings.EqualFold(path[:4], "urn:") {
		path, urn = path[4:], true
	} else if i := strings.Index(path, "://"); i > 0 && isScheme(path[:i]) {
		_, path, _ = strings.Cut(path[i+3:], "/")
	}
	if strings.IndexByte(path, '?') >= 0 || strings.IndexByte(path, '#') >= 0 {
		return "", false, errors.New(field + ": has a query or a fragment")
	}
	if !urn {
		path = strings.TrimSuffix(path, "/")
	}
	return path, urn, nil
}

// isScheme follows RFC 3986, section 3.1.
func isScheme(s string) bool {
	for i := range len(s) {
		letter := s[i]|0x20 >= 'a' && s[i]|0x20 <= 'z'
		if !letter && (i == 0 || !isDigit(s[i]) && strings.IndexByte("+-.", s[i]) < 0) {
			return false
		}
	}
	return s != ""
}

// keyOfParts makes a key of two parts that are still percent-encoded.
func keyOfParts(field, kind, id string) (entity.Key, error) {
	kind, err := url.PathUnescape(kind)
	id, err2 := url.PathUnescape(id)
	if err != nil || err2 != nil {
		return entity.Key{}, errors.New(field + ": is not percent-encoded correctly")
	}
	return checkKey(field, entity.Key{Type: kind, ID: id})
}

// subjectOf returns a subject of which KeyOf makes the key again. The slash
// before it keeps it from being taken for a URN or a URL.
func subjectOf(key entity.Key) string {
	if key.Type == "" {
		return "/" + url.PathEscape(key.ID)
	}
	return "/" + url.PathEscape(key.Type) + "/" + url.PathEscape(key.ID)
}

// checkKey adds to the key's own check that no part of it is a dot segment:
// put into a URL it would name something else.
func checkKey(field string, key entity.Key) (entity.Key, error) {
	if isDots(key.ID) || isDots(key.Type) {
		return entity.Key{}, errors.New(field + ": has a dot segment where the entity stands")
	}
	if n := len(key.ID); 0 < n && n <= entity.MaxLen && len(key.Type) <= entity.MaxLen && isSimple(key.ID) && isSimple(key.Type) {
		return key, nil // what Validate finds, only faster
	}
	if err := key.Validate(); err != nil {
		return entity.Key{}, errors.New(field + ": " + err.Error())
	}
	return key, nil
}

func isDots(s string) bool { return s == "." || s == ".." }
