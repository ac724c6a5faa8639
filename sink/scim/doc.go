// Package scim is a target at a SCIM 2.0 service provider (RFC 7643, RFC 7644):
// each entity is a user, a group or another resource. [New] makes an [Endpoint],
// which [sink.Ensure] makes a sink of.
//
// T, the resource as the connector wants it, is a [User], a [Group], a struct
// that embeds one of them, or anything else whose JSON is a resource. What is
// not in its JSON is left alone, null wants no value; [sink.Optional] says both.
//
// An entity is found by the attribute that Config.Key names, externalId or
// userName. T need not have it; what T says of it is ignored. Members of groups
// and managers are named by the provider's ids: Endpoint.ID returns them.
//
// What it promises:
//   - Only what differs is written. A PATCH changes one value of several by
//     itself: one changed member of a large group is one small operation, and
//     many are sent in pieces.
//   - Where there is no PATCH, the whole resource is sent by PUT: as the provider
//     holds it, without what only the provider writes, and with what differs.
//     Which of the two, the provider's configuration says, or Config.Write. It is
//     read once, and again after an error that it may explain.
//   - A resource with an entity tag is only changed or deleted as it was read,
//     else it is a conflict. Without tags, a PATCH leaves alone what it does not
//     name, and a PUT reads once more, right before.
//   - A filter is not believed: only a resource that has the value in its answer
//     is the entity's. If the provider ignores the filter, or has none, the whole
//     listing is read. A listing that ends early is an error, not an absence.
//   - The case of a user name does not matter.
//   - A multi-valued attribute is a set. All its values are ours, or those of the
//     types that Config.Types names. What the provider adds to a value is left
//     alone.
//   - No value, no null and no empty list are the same. An empty string is a
//     value. The boolean "True" is true.
//   - What only the provider writes (id, meta, groups) and what it never returns
//     (password) is not compared. A password is written to a new resource.
//   - Two who create the same resource at once end up with one, even where the
//     provider would hold both: who made the younger one deletes it again.
//   - A 404 that is not SCIM's own is not taken for "no such resource".
//   - Redirects are not followed: credentials go to the base URL only.
//   - What an entity holds never becomes part of a filter's or a path's syntax,
//     or of a URL's. A value that would need an escape in the path of a PATCH is
//     not sent there: the attribute is replaced as a whole.
//   - Error texts name the request without ids, the status and the scimType,
//     never a value, nor the provider's own words.
//
// Errors are classified for package failure:
//
//	what happened                                      status, scimType           class
//	no answer, none in time, ctx ended                 none                       Unavailable
//	the credentials or a right are missing             401, 403, 407              Unavailable
//	the provider fails, or has too much to do          5xx, 408, 423, 425, 429    Unavailable
//	the provider wants another client                  406, 415, 428 and others   Unavailable
//	a redirect, or no such endpoint                    3xx, 404, 405, 410         Unavailable
//	the provider cannot filter by Config.Key           invalidFilter              Unavailable
//	a value or the whole resource is refused           400, 413, 422 and others   Rejected
//	another resource has a value that must be unique   409, uniqueness            Failed
//	somebody else changed it: a conflict for Ensure    412, 409, noTarget         Failed
//	several resources match                            200                        Failed
//	an answer that is not SCIM, too large, not all     200, 202, 206              Failed
//	a resource that T cannot hold                      200                        Failed
//	the provider finds too many                        tooMany                    Failed
//
// Providers that were thought of: those that return booleans as text, entity
// tags without quotes or in headers only, attributes in other cases, totals or
// bodies of errors not at all; those that advertise a PATCH that they refuse;
// those that read filters without minding escapes. The operations of a PATCH are
// in lower case, as RFC 7644 writes them, and each has a path. For listings that
// leave out the members of groups, there is Config.Summary.
//
// A provider that changes what it stores, so that it never reads as wanted, makes
// every Apply an update.
package scim
