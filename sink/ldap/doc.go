// Package ldap is a target in an LDAP directory, by go-ldap. [New] makes
// [Entries], one entry for each entity: people, or groups with their members.
// [NewMemberships] makes [Memberships]: which groups somebody is in. Both are
// targets that [sink.Ensure] makes sinks of. A [Client] is their connections.
//
// Groups can be kept in two ways. Where a group is an entity of the source, its
// members are an attribute of its [Entry], and each run compares all of them.
// Where what changes is a person, let a flow of people have [Memberships]: it asks
// the directory for the groups that have the person, and each that she enters or
// leaves costs one modify with one value, though the group may have thousands of
// members. Use one of the two for a group, or tell them apart by Values.Owned.
//
// What [Entries] promises:
//   - An entry is found by the attribute Config.Key below a base, wherever it is
//     and whatever its name. IDs that the attribute's matching rule takes for the
//     same are the same entry. Several that match are an error of the entity.
//   - Attributes that an [Entry] does not name are left alone, and never read. So
//     are the values for which Values.Owned is false, and the classes in
//     objectClass that it does not name.
//   - Attributes are sets. An update adds and removes single values, those that
//     differ, in one request up to 1,000 values. Only what has no equality rule,
//     such as jpegPhoto, is replaced as a whole.
//   - Values are the same if the server says so: by its schema, or else by
//     Values.Match. In texts for people (cn, title, telephone numbers) a
//     difference in letter case or blanks is written all the same; in identifiers
//     (mail, DNs, numbers, times) it is none.
//   - When the DN is to be another one, the entry is renamed or moved, and then
//     written. The old name goes, unless it is wanted as another value.
//   - A write to what somebody else changed since it was read is a conflict: a
//     value to be removed is gone, one to be added is there, the entry is not the
//     key's any more. Where the server knows assertions (RFC 4528), so is a change
//     of a set by somebody else, and by entryCSN that is any change of the entry.
//   - Values of a DN, a filter, or an attribute never become syntax: they are
//     escaped, or sent apart.
//
// What [Memberships] promises:
//   - Only groups that match, below the base, are looked at and written.
//   - Members that are not the entity's are never read, nor written.
//   - Who is in several groups is written to one after the other; a group that is
//     left comes first. There is no writing to all or none of them.
//
// What a [Client] promises:
//   - It never has more than ClientConfig.Connections connections. A lost one is
//     replaced; a read on it is done once more, a write is not.
//   - Each request ends after ClientConfig.Timeout at the latest, and each call
//     when its ctx ends. The connection is then closed, so that a late answer
//     meets nobody.
//   - If a host does not serve, the next one is tried; one that did not lately
//     comes last. Credentials that one host refuses are not tried at the others,
//     as that locks accounts.
//   - Credentials go to the configured hosts only, and only over TLS unless
//     Plaintext is set. Referrals are never followed.
//
// Error texts name the operation, the result code, and the attributes and classes
// of the schema that the server names; never a value, a DN or a filter. The code
// can be had by errors.As with interface{ ResultCode() uint16 }. Errors are
// classified for package failure:
//
//	what happened                                             result code                    class
//	no connection, no answer in time, ctx ended               none                           Unavailable
//	the server is busy, down, broken, full                    51, 52, 1, 2, 54, 80           Unavailable
//	credentials or their kind are refused, TLS is wanted      49, 48, 7, 8, 13               Unavailable
//	a right is missing                                        50                             Unavailable
//	the base of a search is not there, or may not be seen     32                             Unavailable
//	a limit for everybody: time, size, an unindexed search    3, 4, 11                       Unavailable
//	another server has it (never followed)                    10                             Unavailable
//	the database is read-only now                             53, by its text                Unavailable
//	a value, a class or a name breaks the schema              17, 18, 19, 21, 34, 64, 65, 69 Rejected
//	a name's own attribute, a move to another server          67, 71                         Rejected
//	a value that must be unique                               19, by its text                Failed
//	another entry has the name, entries are below it          68, 66                         Failed
//	the entry above it is not there                           32                             Failed
//	several entries match                                     none, 4                        Failed
//	not willing, for whatever reason                          53                             Failed
//	somebody else wrote in between: a conflict for Ensure     16, 20, 122                    Failed
//
// Active Directory: members beyond the 1,500 that it sends at once are fetched;
// searches are paged; its schema has no matching rules, so syntaxes stand for
// them; [GUID] finds by objectGUID; [AccountDisabled] and Values.Bits change one
// bit of userAccountControl. It has no assertions, so that a set which two writers
// own at once can become a mixture. Passwords are no attributes to compare, and
// not served. This was tested with what Active Directory is documented to send,
// not with one.
//
// When an entry is renamed or deleted, the groups that name its DN are not
// touched: let the server do that (refint in OpenLDAP), or name people by what
// never changes.
package ldap
