package notification

import "strings"

// Metadata keys of a Watermill message that a transport fills in with what it
// knows of the delivery. The headers of the message stand beside them under
// their own names. Keys with the prefix "amqp." are the transport's: a header
// of such a name is never passed on, so nobody can forge them.
const (
	MetaRoutingKey  = metaPrefix + "routing_key"
	MetaExchange    = metaPrefix + "exchange"
	MetaContentType = metaPrefix + "content_type"
	MetaMessageID   = metaPrefix + "message_id"
	// MetaRedelivered is "true" when the broker delivered the message before,
	// absent otherwise.
	MetaRedelivered = metaPrefix + "redelivered"

	metaPrefix = "amqp."
)

// ReservedMeta reports whether a metadata key is the transport's own, so that
// it must not be filled from a header nor published as one.
func ReservedMeta(key string) bool { return strings.HasPrefix(key, metaPrefix) }
