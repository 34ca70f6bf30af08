package api

import (
	"maps"
	"slices"

	"github.com/rollcall-metrics/rollcall/pkg/obs"
)

// configPage is /debug/config. Flags that are wrong keep an agent from
// starting, so nothing is wrong here.
type configPage struct {
	Problems []string          `json:"problems"`
	Flags    map[string]string `json:"flags"`
}

func (p *Pages) config() any {
	flags, ok := p.Config.(map[string]string)
	if !ok {
		return p.Config
	}
	return configPage{Problems: []string{}, Flags: flags}
}

// Verdict implements [obs.Presenter].
func (p configPage) Verdict() []string { return p.Problems }

// Sections implements [obs.Presenter].
func (p configPage) Sections() []obs.Section {
	if len(p.Flags) == 0 {
		return []obs.Section{{Text: "This agent was started without a command line."}}
	}
	s := obs.Section{Text: "Certificates, keys and tokens are in files, of which only the names are here."}
	for _, name := range slices.Sorted(maps.Keys(p.Flags)) {
		s.Facts = append(s.Facts, obs.Fact{Name: name, Value: orNone(p.Flags[name])})
	}
	return []obs.Section{s}
}
