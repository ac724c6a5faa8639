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
//
// The last path segment is the ID and the one before it the type; both are
// percent-decoded. Host and scheme are dropped: providers move. A subject with
// a query or a fragment is an error, since the rule cannot tell what they mean.
// Errors do not hold the subject.
func KeyOf(subject string) (entity.Key, error) {
	subject = strings.TrimSpace(subject)
	if subject == "" {
		return entity.Key{}, errors.New("subject: is empty")
	}
	var key entity.Key
	if len(subject) >= 4 && strings.EqualFold(subject[:4], "urn:") {
		nss := subject[4:]
		i := strings.LastIndexByte(nss, ':')
		key = entity.Key{Type: nss[:max(i, 0)], ID: nss[i+1:]}
	} else {
		var err error
		if key, err = keyOfPath(subject); err != nil {
			return entity.Key{}, err
		}
	}
	if key.ID == "." || key.ID == ".." {
		return entity.Key{}, errors.New("subject: ends in a dot segment")
	}
	if err := key.Validate(); err != nil {
		return entity.Key{}, errors.New("subject: " + err.Error())
	}
	return key, nil
}

func keyOfPath(subject string) (entity.Key, error) {
	path := subject
	if _, rest, absolute := strings.Cut(subject, "://"); absolute {
		_, path, _ = strings.Cut(rest, "/")
	}
	if strings.ContainsAny(path, "?#") {
		return entity.Key{}, errors.New("subject: has a query or a fragment")
	}
	segments := strings.Split(strings.TrimSuffix(path, "/"), "/")
	last := len(segments) - 1
	id, err := url.PathUnescape(segments[last])
	if err != nil {
		return entity.Key{}, errors.New("subject: is not percent-encoded correctly")
	}
	var kind string
	if last > 0 {
		if kind, err = url.PathUnescape(segments[last-1]); err != nil {
			return entity.Key{}, errors.New("subject: is not percent-encoded correctly")
		}
	}
	return entity.Key{Type: kind, ID: id}, nil
}
