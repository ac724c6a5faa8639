package notification

import (
	"errors"
	"strings"

	"github.com/konnektor-go/konnektor/entity"
)

func looksLikeDFO(o object) bool { return o.get("id") != nil && o.get("uri") != nil }

// dfo reads the notifications of DFØ's SAP: an entity's id and type, and
// perhaps from when on the change is in effect.
func (d *decoder) dfo(in delivery, o object, body []byte) (Notification, error) {
	s := said{dialect: "dfo"}
	uri, err := o.text("uri")
	if err != nil {
		return Notification{}, err
	}
	kind := strings.TrimRight(uri, "/")
	if kind = kind[strings.LastIndexAny(kind, ":/")+1:]; kind == "" {
		return Notification{}, errors.New(`uri: does not name the type of entity, as "dfo:ansatte" does`)
	}
	id, err := idOf("id", o.get("id"))
	if err != nil {
		return Notification{}, err
	}
	if s.key, err = checkKey("id", entity.Key{Type: kind, ID: id}); err != nil {
		return Notification{}, err
	}
	from, err := o.text("gyldigEtter")
	if err != nil {
		return Notification{}, err
	}
	if s.notBefore, err = date("gyldigEtter", from, d.Location); err != nil {
		return Notification{}, err
	}
	s.source, s.subject = uri, subjectOf(s.key)
	return in.notification(s, body)
}
