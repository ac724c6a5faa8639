package notification

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxEventURIs is more than there are kinds of SCIM events.
const maxEventURIs = 32

const scimEvent = "urn:ietf:params:event:scim:"

func isSCIMEvent(s string) bool {
	return len(s) > len(scimEvent) && strings.EqualFold(s[:len(scimEvent)], scimEvent)
}

func looksLikeSCIM(o object) bool {
	if o.get("eventUris") != nil {
		return true
	}
	for _, m := range o {
		if isSCIMEvent(string(m.name)) {
			return true
		}
	}
	return false
}

func looksLikeClaims(o object) bool {
	return o.get("sub") != nil && (o.get("iss") != nil || o.get("jti") != nil || o.get("iat") != nil)
}

// claims reads the notifications of systems that send the claims of a JWT.
func (d *decoder) claims(in delivery, o object, body []byte) (Notification, error) {
	s, err := d.commonClaims(o, "jwt")
	if err != nil {
		return Notification{}, err
	}
	if s.operation, err = o.text("operation"); err != nil {
		return Notification{}, err
	}
	return in.notification(s, body)
}

func (d *decoder) commonClaims(o object, dialect string) (s said, err error) {
	s.dialect = dialect
	iat := ""
	for _, claim := range [...]struct {
		name  string
		value *string
	}{{"jti", &s.id}, {"iss", &s.source}, {"iat", &iat}} {
		if *claim.value, err = o.text(claim.name); err != nil {
			return said{}, err
		}
	}
	if s.subject, err = idOf("sub", o.get("sub")); err != nil {
		return said{}, err
	}
	if s.subject == "" {
		return said{}, errors.New("sub: is missing or empty")
	}
	if s.key, err = keyIn("sub", s.subject); err != nil {
		return said{}, err
	}
	if s.time, err = instant("iat", iat); err != nil {
		return said{}, err
	}
	s.audience = textsOf(o.get("aud"), d.MaxDepth)
	return s, nil
}

// scim reads a SCIM event: the claims of a JWT, with one or several events of
// the same entity.
func (d *decoder) scim(in delivery, o object, body []byte) ([]Notification, error) {
	common, err := d.commonClaims(o, "scim")
	if err != nil {
		return nil, err
	}
	uris := textsOf(o.get("eventUris"), d.MaxDepth)
	if len(uris) == 0 {
		for _, m := range o {
			if name, err := plain("", string(m.name)); err == nil && isSCIMEvent(name) {
				uris = append(uris, name)
			}
		}
	}
	switch n := len(uris); {
	case n == 0:
		return nil, errors.New("eventUris: must be a list of texts, at least one")
	case n > maxEventURIs:
		return nil, fmt.Errorf("eventUris: has %d of them, at most %d are read", n, maxEventURIs)
	}
	if common.id == "" {
		common.id = in.derivedID(body)
	}
	all := make([]Notification, 0, len(uris))
	for i, uri := range uris {
		s := common
		s.kind = uri
		s.operation = uri[strings.LastIndexByte(uri, ':')+1:]
		if i > 0 { // an id is for one event
			s.id += "/" + strconv.Itoa(i)
		}
		if details := o.get(uri); len(details) > 0 && details[0] == '{' {
			inner, err := readObject(details, d.MaxDepth, nil)
			if err != nil {
				return nil, err
			}
			s.changed = textsOf(inner.get("attributes"), d.MaxDepth)
		}
		n, err := in.notification(s, body)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}
