package main

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// The states of the API. Days are written as 2006-01-02.
type person struct {
	GivenName  string  `json:"givenName"`
	FamilyName string  `json:"familyName"`
	Username   string  `json:"username"`
	Email      string  `json:"email"`
	Unit       string  `json:"unit,omitempty"`
	Position   string  `json:"position,omitempty"`
	FirstDay   string  `json:"firstDay"`
	LastDay    *string `json:"lastDay"`
}

type orgunit struct {
	Name   string  `json:"name"`
	Parent *string `json:"parent"`
}

type position struct {
	Title   string   `json:"title"`
	Holders []string `json:"holders"`
}

var (
	given    = []string{"Kari", "Ola", "Ingrid", "Lars", "Aisha", "Per", "Sunniva", "Mats", "Máret", "Chen"}
	families = []string{"Berg", "Dahl", "Eira", "Khan", "Lie", "Moe", "Nordmann", "Strand"}
	fields   = []string{"Physics", "Law", "Library", "Music", "Archives", "Botany", "Theology", "Statistics"}
	ranks    = []string{"Lecturer", "Professor", "Engineer", "Adviser", "Librarian"}
)

// register is the register's data. People, units and positions have the numbers
// from 1 as their ids.
type register struct {
	people    []person
	orgunits  []orgunit
	positions []position
	// save keeps a state and tells everybody that it may have changed.
	save func(kind, id string, state any) error
}

func newRegister(o options, save func(kind, id string, state any) error) *register {
	r := &register{save: save, orgunits: make([]orgunit, o.orgunits), positions: make([]position, o.positions)}
	for n := range r.orgunits {
		r.orgunits[n].Name = pick(fields)
		if n > 0 { // the first one is above all
			r.orgunits[n].Parent = new(id(rand.IntN(n))) //nolint:gosec // nobody guards this
		}
	}
	for n := range r.positions {
		r.positions[n] = position{Title: pick(ranks), Holders: []string{}}
	}
	for n := range o.people {
		p := person{
			GivenName: pick(given), FamilyName: pick(families),
			Username: fmt.Sprintf("user%d", n+1), Email: fmt.Sprintf("person%d@example.org", n+1),
			FirstDay: day(-100),
		}
		if o.orgunits > 0 {
			p.Unit = id(rand.IntN(o.orgunits)) //nolint:gosec // nobody guards this
		}
		if o.positions > 0 {
			at := rand.IntN(o.positions) //nolint:gosec // nobody guards this
			p.Position = id(at)
			r.positions[at].Holders = append(r.positions[at].Holders, id(n))
		}
		r.people = append(r.people, p)
	}
	return r
}

// open announces all that there is, children before their parents: an order
// cannot be relied on.
func (r *register) open() error {
	for n, p := range r.people {
		if err := r.save("persons", id(n), p); err != nil {
			return err
		}
	}
	for n, p := range r.positions {
		if err := r.save("positions", id(n), p); err != nil {
			return err
		}
	}
	for n, u := range slices.Backward(r.orgunits) {
		if err := r.save("orgunits", id(n), u); err != nil {
			return err
		}
	}
	return nil
}

// change makes one change.
func (r *register) change() error {
	n := rand.IntN(len(r.people) + len(r.orgunits) + len(r.positions)) //nolint:gosec // nobody guards this
	if n < len(r.people) {
		return r.changePerson(n)
	}
	if n -= len(r.people); n < len(r.orgunits) {
		return r.changeOrgunit(n)
	}
	n -= len(r.orgunits)
	p := &r.positions[n]
	p.Title = pick(ranks)
	slog.Info("a position has a new title", "position", id(n), "title", p.Title, "holders", len(p.Holders))
	return r.save("positions", id(n), *p)
}

// changePerson has somebody marry, leave, or begin, now or in a week.
func (r *register) changePerson(n int) error {
	p := &r.people[n]
	switch rand.IntN(4) { //nolint:gosec // nobody guards this
	case 0:
		p.FirstDay, p.LastDay = day(-100), new(day(-1))
		slog.Info("somebody has left", "person", id(n))
	case 1:
		p.FirstDay, p.LastDay = day(7), nil
		slog.Info("somebody begins in a week", "person", id(n))
	case 2:
		p.FirstDay, p.LastDay = day(0), nil
		slog.Info("somebody begins today", "person", id(n))
	default:
		p.FamilyName = pick(families)
		slog.Info("somebody has a new name", "person", id(n), "family", p.FamilyName)
	}
	return r.save("persons", id(n), *p)
}

// changeOrgunit has a unit renamed, or moved to below another one that is not
// below it.
func (r *register) changeOrgunit(n int) error {
	u := &r.orgunits[n]
	to := rand.IntN(len(r.orgunits)) //nolint:gosec // nobody guards this
	if n == 0 || r.isBelow(to, n) {
		u.Name = pick(fields)
		slog.Info("a unit has a new name", "orgunit", id(n), "name", u.Name)
	} else {
		u.Parent = new(id(to))
		slog.Info("a unit has moved", "orgunit", id(n), "below", id(to))
	}
	return r.save("orgunits", id(n), *u)
}

// isBelow reports whether unit n is the other one, or somewhere below it.
func (r *register) isBelow(n, other int) bool {
	for n != other {
		parent := r.orgunits[n].Parent
		if parent == nil {
			return false
		}
		n, _ = strconv.Atoi(*parent) // it is one of ours
		n--
	}
	return true
}

// id returns the id of what has index n.
func id(n int) string { return strconv.Itoa(n + 1) }

// day returns the date of a day that many days from now.
func day(from int) string { return time.Now().AddDate(0, 0, from).Format(time.DateOnly) }

func pick(words []string) string { return words[rand.IntN(len(words))] } //nolint:gosec // nobody guards this
