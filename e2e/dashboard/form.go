package dashboard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An item is one entry of an answer that has the form it has to have.
type item struct {
	name, metric string
	points       Series
}

// nothing is the whole of an answer that tells of nobody, but for a newline, which no
// reader of JSON sees.
const nothing = `{"items":null}`

func isNothing(body []byte) bool { return strings.TrimSuffix(string(body), "\n") == nothing }

// parse takes an answer apart, and says what is wrong with its form. It is stricter
// than the Dashboard: each rule here is one that its code, or that of the browser after
// it, relies on. Items keep their order, which is any.
func parse(body []byte) ([]item, error) {
	if isNothing(body) {
		return nil, nil
	}
	var whole map[string]json.RawMessage
	if err := json.Unmarshal(body, &whole); err != nil {
		return nil, fmt.Errorf("%w: %.200s", err, body)
	}
	var raw []map[string]json.RawMessage
	if err := json.Unmarshal(whole["items"], &raw); err != nil || len(whole) != 1 {
		return nil, fmt.Errorf("not a list of items alone, %w: %.200s", err, body)
	}
	if len(raw) == 0 {
		return nil, fmt.Errorf("nothing is told as %.200s, not as %s", body, nothing)
	}
	items := make([]item, len(raw))
	for i, r := range raw {
		var err error
		if items[i], err = parseItem(r); err != nil {
			return nil, fmt.Errorf("item %d: %w", i, err)
		}
	}
	return items, nil
}

func parseItem(raw map[string]json.RawMessage) (one item, err error) {
	if len(raw) != 4 {
		return one, fmt.Errorf("its fields are not the four: %s", raw)
	}
	if points := raw["dataPoints"]; string(points) != "[]" {
		return one, fmt.Errorf("dataPoints is %s", points)
	}
	var uids []string
	if err := errors.Join(json.Unmarshal(raw["uids"], &uids), json.Unmarshal(raw["metricName"], &one.metric)); err != nil {
		return one, err
	}
	if len(uids) != 1 || uids[0] == "" {
		return one, fmt.Errorf("uids are %q", uids)
	}
	one.name = uids[0]
	var points []map[string]json.RawMessage
	if err := json.Unmarshal(raw["metricPoints"], &points); err != nil || len(points) == 0 {
		return one, fmt.Errorf("%s: metricPoints are %.200s: %w", one.name, raw["metricPoints"], err)
	}
	last := int64(0)
	for _, p := range points {
		point, err := parsePoint(p)
		if err != nil {
			return one, fmt.Errorf("%s: %w", one.name, err)
		}
		if point.Second <= last {
			return one, fmt.Errorf("%s: the point of %d comes after that of %d", one.name, point.Second, last)
		}
		last = point.Second
		one.points = append(one.points, point)
	}
	return one, nil
}

// What a point looks like: a time in UTC without fractions of a second, and digits.
var (
	timestamp = regexp.MustCompile(`^"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"$`)
	value     = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)
)

func parsePoint(raw map[string]json.RawMessage) (p Point, err error) {
	if len(raw) != 2 || !timestamp.Match(raw["timestamp"]) || !value.Match(raw["value"]) {
		return p, fmt.Errorf("a point is %s", raw)
	}
	at, err := time.Parse(time.RFC3339, string(bytes.Trim(raw["timestamp"], `"`)))
	if err != nil {
		return p, err
	}
	p.Second = at.Unix()
	p.Value, err = strconv.ParseUint(string(raw["value"]), 10, 64)
	return p, err
}

// canonical is what items tell, but for what they call the metric, in one order.
func canonical(items []item) string {
	lines := make([]string, len(items))
	for i, one := range items {
		lines[i] = fmt.Sprint(one.name, one.points)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// byName are items by name, each of which may be there only once.
func byName(items []item) (map[string]item, error) {
	all := make(map[string]item, len(items))
	for _, one := range items {
		if _, twice := all[one.name]; twice {
			return nil, fmt.Errorf("%s is there twice", one.name)
		}
		all[one.name] = one
	}
	return all, nil
}
