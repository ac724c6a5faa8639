package ldap

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"
)

// AccountDisabled is the bit of userAccountControl by which an account in Active
// Directory is disabled. Let it be the Bits of that attribute's [Values], so that
// all others are left alone.
const AccountDisabled = 0x2

// DisableAccount is a sink.Removal's Disable for Active Directory: it sets
// [AccountDisabled]. The mapping must name userAccountControl as well, for
// instance with the value 512, a normal account that is enabled.
func DisableAccount(Entry, time.Time) Entry {
	return Entry{Attributes: map[string][]string{"userAccountControl": {"514"}}}
}

// GUID is a Config's KeyValue for objectGUID: from an ID such as
// "00112233-4455-6677-8899-aabbccddeeff" it makes the 16 bytes that Active
// Directory has for it, the first three groups of which are turned around.
func GUID(id string) (string, error) {
	groups := strings.Split(strings.Trim(id, "{}"), "-")
	if len(groups) != 5 {
		return "", errors.New("is not a GUID")
	}
	var guid []byte
	for i, digits := range groups {
		bytes, err := hex.DecodeString(digits)
		if err != nil || len(bytes) != []int{4, 2, 2, 2, 6}[i] {
			return "", errors.New("is not a GUID")
		}
		if i < 3 {
			slices.Reverse(bytes)
		}
		guid = append(guid, bytes...)
	}
	return string(guid), nil
}
