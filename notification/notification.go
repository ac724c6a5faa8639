package notification

import (
	"log/slog"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/konnektor-go/konnektor/entity"
)

// Notification says that an entity may have changed. It is a hint: it can be
// late, repeated, out of order or overtaken by later changes. Only the source
// knows the truth.
type Notification struct {
	// Event is the notification as a CloudEvent, whatever dialect it came in.
	// Dialects without an id, a source or a type get them derived.
	Event event.Event
	// Key is the entity by the default rule for subjects, see [KeyOf].
	Key entity.Key
	// NotBefore is when the change takes effect. Zero means at once.
	NotBefore time.Time
	// Changed lists the attributes that changed, where the provider tells.
	Changed []string
	// Audience lists the systems that the provider means, where it tells.
	Audience []string
	// Operation is what happened, by the provider: "create", "update". It is
	// no more than a hint, see above.
	Operation string
	// RoutingKey is the key that the message was published with.
	RoutingKey string
}

// String returns the type of the event and the redacted key. The event itself
// would print the entity.
func (n Notification) String() string { return n.Event.Type() + " " + n.Key.String() }

// GoString is String, for %#v.
func (n Notification) GoString() string { return n.String() }

// LogValue is String, for logs.
func (n Notification) LogValue() slog.Value { return slog.StringValue(n.String()) }
