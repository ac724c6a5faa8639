package main

import (
	"context"
	"time"

	"github.com/konnektor-go/konnektor/connector"
	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/notification"
	"github.com/konnektor-go/konnektor/sink"
	"github.com/konnektor-go/konnektor/source"
	"github.com/konnektor-go/konnektor/source/gateway"
)

// Person is a person as the register's API gives it.
type Person struct {
	ID         string    `json:"id"`
	GivenName  string    `json:"givenName"`
	FamilyName string    `json:"familyName"`
	Unit       string    `json:"unit"`
	Start      time.Time `json:"start,omitzero"`
}

// Entry is a person as the directory holds it.
type Entry struct {
	DisplayName string
	Mail        string
	Department  string
}

// toEntry is the mapping: the only code that most connectors need.
func toEntry(_ context.Context, key entity.Key, p Person) (connector.Desired[Entry], error) {
	if time.Now().Before(p.Start) {
		return connector.Absent[Entry]().RecheckAt(p.Start), nil
	}
	return connector.Present(Entry{
		DisplayName: p.GivenName + " " + p.FamilyName,
		Mail:        key.ID + "@example.org",
		Department:  p.Unit,
	}), nil
}

// newConnector joins the source, the mapping and the target.
func newConnector(gw *gateway.Client, directory sink.Target[Entry], cfg connector.Config) (*connector.Connector, error) {
	entries, err := sink.Ensure(directory, sink.EnsureConfig[Entry]{})
	if err != nil {
		return nil, err
	}
	return connector.New("quickstart", cfg, connector.Flow[Person, Entry]{
		Name:   "people",
		Match:  notification.Type("org.example.register.person.*"),
		Source: source.REST[Person]{Gateway: gw, Path: "persons/{id}"},
		Map:    toEntry,
		Sink:   entries,
	})
}
