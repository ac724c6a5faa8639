package scim

import (
	"reflect"
	"time"

	"github.com/konnektor-go/konnektor/sink"
)

// The schemas of RFC 7643 that T can have without naming them.
const (
	userSchema       = "urn:ietf:params:scim:schemas:core:2.0:User"
	groupSchema      = "urn:ietf:params:scim:schemas:core:2.0:Group"
	enterpriseSchema = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
)

// User is a resource of RFC 7643, section 4.1, with the enterprise extension
// of section 4.3. It has what connectors write; for other attributes, use a
// struct that embeds it, or a type of your own.
type User struct {
	ExternalID        sink.Optional[string]    `json:"externalId,omitzero"`
	UserName          sink.Optional[string]    `json:"userName,omitzero"`
	Name              Name                     `json:"name,omitzero"`
	DisplayName       sink.Optional[string]    `json:"displayName,omitzero"`
	NickName          sink.Optional[string]    `json:"nickName,omitzero"`
	ProfileURL        sink.Optional[string]    `json:"profileUrl,omitzero"`
	Title             sink.Optional[string]    `json:"title,omitzero"`
	UserType          sink.Optional[string]    `json:"userType,omitzero"`
	PreferredLanguage sink.Optional[string]    `json:"preferredLanguage,omitzero"`
	Locale            sink.Optional[string]    `json:"locale,omitzero"`
	Timezone          sink.Optional[string]    `json:"timezone,omitzero"`
	Active            sink.Optional[bool]      `json:"active,omitzero"`
	Emails            sink.Optional[[]Value]   `json:"emails,omitzero"`
	PhoneNumbers      sink.Optional[[]Value]   `json:"phoneNumbers,omitzero"`
	Addresses         sink.Optional[[]Address] `json:"addresses,omitzero"`
	Entitlements      sink.Optional[[]Value]   `json:"entitlements,omitzero"`
	Roles             sink.Optional[[]Value]   `json:"roles,omitzero"`
	Enterprise        Enterprise               `json:"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User,omitzero"`
}

// Name is the name of a [User].
type Name struct {
	Formatted       sink.Optional[string] `json:"formatted,omitzero"`
	FamilyName      sink.Optional[string] `json:"familyName,omitzero"`
	GivenName       sink.Optional[string] `json:"givenName,omitzero"`
	MiddleName      sink.Optional[string] `json:"middleName,omitzero"`
	HonorificPrefix sink.Optional[string] `json:"honorificPrefix,omitzero"`
	HonorificSuffix sink.Optional[string] `json:"honorificSuffix,omitzero"`
}

// Value is one of several values, such as an email address. Of the fields that
// are empty, and of what else the provider holds of the value, nothing is
// wanted.
type Value struct {
	Value   string `json:"value"`
	Type    string `json:"type,omitempty"` // "work", "home", …
	Display string `json:"display,omitempty"`
	Primary bool   `json:"primary,omitempty"`
}

// Address is one of several postal addresses.
type Address struct {
	Formatted     string `json:"formatted,omitempty"`
	StreetAddress string `json:"streetAddress,omitempty"`
	Locality      string `json:"locality,omitempty"`
	Region        string `json:"region,omitempty"`
	PostalCode    string `json:"postalCode,omitempty"`
	Country       string `json:"country,omitempty"` // ISO 3166-1, two letters
	Type          string `json:"type,omitempty"`    // "work", "home", …
	Primary       bool   `json:"primary,omitempty"`
}

// Enterprise is the enterprise extension of a [User].
type Enterprise struct {
	EmployeeNumber sink.Optional[string]  `json:"employeeNumber,omitzero"`
	CostCenter     sink.Optional[string]  `json:"costCenter,omitzero"`
	Organization   sink.Optional[string]  `json:"organization,omitzero"`
	Division       sink.Optional[string]  `json:"division,omitzero"`
	Department     sink.Optional[string]  `json:"department,omitzero"`
	Manager        sink.Optional[Manager] `json:"manager,omitzero"`
}

// Manager refers to the user who is the manager.
type Manager struct {
	// Value is the provider's id of that user: see [Endpoint.ID].
	Value string `json:"value"`
}

// Group is a resource of RFC 7643, section 4.2.
type Group struct {
	ExternalID  sink.Optional[string]   `json:"externalId,omitzero"`
	DisplayName sink.Optional[string]   `json:"displayName,omitzero"`
	Members     sink.Optional[[]Member] `json:"members,omitzero"`
}

// Member is a member of a [Group].
type Member struct {
	// Value is the provider's id of the member: see [Endpoint.ID].
	Value string `json:"value"`
	Type  string `json:"type,omitempty"` // "User" or "Group"
}

// Deactivate is the removal that sets active to false instead of deleting. The
// mapping must set Active to true, so that who comes back is active again.
func Deactivate() sink.Removal[User] {
	return sink.Removal[User]{Disable: func(have User, _ time.Time) User {
		have.Active = sink.Set(false)
		return have
	}}
}

// known returns the path and the schema of a resource that T is or embeds, "" if
// it is another.
func known(t reflect.Type) (path, schema string) {
	switch {
	case t == nil || t.Kind() != reflect.Struct:
		return "", ""
	case t == reflect.TypeFor[User]():
		return "Users", userSchema
	case t == reflect.TypeFor[Group]():
		return "Groups", groupSchema
	}
	for f := range t.Fields() {
		if !f.Anonymous {
			continue
		}
		if path, schema = known(f.Type); path != "" {
			return path, schema
		}
	}
	return "", ""
}
