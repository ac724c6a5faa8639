package postgres

import (
	"reflect"
	"strconv"
	"strings"
)

// Where a wanted row cannot be a child's.
const (
	noKey   = 1
	sameKey = 2
)

// observe reads the rows of the child beside the wanted ones: the number of the
// wanted one and what is wrong with it, whether the row is there, whether it
// differs, the row as text, and its columns.
func (c childSQL) observe(rows int) string {
	keys := func(separator string, f func(i int, typ typeNames) string) string {
		return c.each(0, c.keys, separator, func(i int, _ string, typ typeNames) string { return f(i, typ) })
	}
	bad := ", CASE WHEN " + keys(" OR ", func(i int, _ typeNames) string { return wanted(i) + " IS NULL" }) +
		" THEN " + strconv.Itoa(noKey) + " WHEN count(*) OVER (PARTITION BY " + keys(", ", wantedAs) +
		") > 1 THEN " + strconv.Itoa(sameKey) + " ELSE 0 END AS bad"
	have := func(i int, _ string) string { return "have.h" + strconv.Itoa(i) }
	return "SELECT coalesce(want.n, 0), coalesce(want.bad, 0), have.there IS NOT NULL, " + c.differs(have) + ", coalesce(have.as_read, ''), " +
		c.reads(func(i int) string { return have(i, "") }) +
		" FROM (SELECT true AS there, " + c.asRead() + " AS as_read, " +
		c.each(0, len(c.columns), ", ", func(i int, column string, _ typeNames) string { return "c." + column + " AS h" + strconv.Itoa(i) }) +
		" FROM " + c.of + " JOIN " + c.table + " AS c ON " + c.join + c.match + ") AS have" +
		" FULL JOIN " + c.want(rows, len(c.columns), bad) + " ON " +
		keys(" AND ", func(i int, typ typeNames) string { return have(i, "") + " = " + wantedAs(i, typ) }) +
		" ORDER BY " + keys(", ", func(i int, _ typeNames) string { return have(i, "") })
}

// get reads the rows of the child as observe does where nothing is wanted.
func (c childSQL) get() string {
	return "SELECT 0, 0, true, false, " + c.asRead() + ", " + c.reads(func(i int) string { return "c." + c.columns[i].quoted() }) +
		" FROM " + c.of + " JOIN " + c.table + " AS c ON " + c.join + c.match +
		" ORDER BY " + c.each(0, c.keys, ", ", func(_ int, column string, _ typeNames) string { return "c." + column })
}

func (c childSQL) reads(of func(i int) string) string {
	return c.each(0, len(c.columns), ", ", func(i int, _ string, _ typeNames) string {
		if c.columns[i].asText() {
			return of(i) + "::text"
		}
		return of(i)
	})
}

// removeAll deletes the rows of the child.
func (c childSQL) removeAll() string {
	return "DELETE FROM " + c.table + " AS c USING " + c.of + c.match + " AND " + c.join
}

// remove deletes the rows that are not wanted. It gets the keys only.
func (c childSQL) remove(rows int) string {
	return c.removeAll() + " AND NOT EXISTS (SELECT FROM " + c.want(rows, c.keys, "") + " WHERE " + c.sameKey() + ")"
}

// change updates the rows that are not as they are wanted.
func (c childSQL) change(rows int) string {
	return "UPDATE " + c.table + " AS c SET " +
		c.each(c.keys, len(c.columns), ", ", func(i int, column string, _ typeNames) string { return column + " = " + wanted(i) }) +
		" FROM " + c.of + ", " + c.want(rows, len(c.columns), "") + c.match + " AND " + c.join + " AND " + c.sameKey() + " AND " +
		c.differs(func(_ int, column string) string { return "c." + column })
}

// insert adds the rows that are missing.
func (c childSQL) insert(rows int) string {
	var names, values []string
	for i := range c.parent {
		names = append(names, quote(c.parent[i])+", ")
		values = append(values, "p."+quote(c.references[i])+", ")
	}
	all := func(f func(i int, column string) string) string {
		return c.each(0, len(c.columns), ", ", func(i int, column string, _ typeNames) string { return f(i, column) })
	}
	return "INSERT INTO " + c.table +
		" (" + strings.Join(names, "") + all(func(_ int, column string) string { return column }) + ") " +
		"SELECT " + strings.Join(values, "") + all(func(i int, _ string) string { return wanted(i) }) +
		" FROM " + c.of + ", " + c.want(rows, len(c.columns), "") + c.match +
		" AND NOT EXISTS (SELECT FROM " + c.table + " AS c WHERE " + c.join + " AND " + c.sameKey() + ")"
}

// unique is an insert that cannot be planned unless the key is unique among the
// rows of an entity.
func (c childSQL) unique() string {
	var names []string
	for _, name := range c.parent {
		names = append(names, quote(name)+", ")
	}
	return c.insert(1) + " ON CONFLICT (" + strings.Join(names, "") +
		c.each(0, c.keys, ", ", func(_ int, column string, _ typeNames) string { return column }) + ") DO NOTHING"
}

// sent returns a statement with the wanted rows as arguments, in the first so
// many columns. sqlFor makes its SQL for a number of rows.
func (c childSQL) sent(sqlFor func(rows int) string, key []any, rows reflect.Value, columns int) (statement, error) {
	size := padded(rows.Len())
	st := statement{table: c.name}
	if len(key)+1+size*columns > maxArgs {
		return st, inStatement(errTooMany, st)
	}
	st.sql = sqlFor(size)
	for _, value := range key {
		st.add(column{}, value)
	}
	st.add(column{}, rows.Len())
	for i := range size {
		for _, column := range c.columns[:columns] {
			if i < rows.Len() {
				st.add(column, column.value(rows.Index(i)))
			} else {
				st.add(column, nil)
			}
		}
	}
	return st, nil
}

// writes appends the statements that make the rows of the child the wanted
// ones, apart from the deletion of others.
func (c childSQL) writes(key []any, rows reflect.Value) ([]statement, error) {
	var all []statement
	if c.keys < len(c.columns) {
		st, err := c.sent(c.change, key, rows, len(c.columns))
		if err != nil {
			return nil, err
		}
		all = append(all, st)
	}
	st, err := c.sent(c.insert, key, rows, len(c.columns))
	return append(all, st), err
}
