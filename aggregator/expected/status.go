package expected

import "time"

// A Status says where it is known from who is expected, for the debug page.
type Status struct {
	// Source is where from, for people.
	Source string `json:"source"`
	// Contact is when the API server last said something about nodes; zero if it
	// never did, or is not asked.
	Contact time.Time `json:"contact,omitzero"`
	// Problems are what is wrong with the source, and what that means.
	Problems []string `json:"problems,omitempty"`
}
