package obs

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// PrefersHTML tells whether an answer should be HTML rather than JSON: if
// ?format=html says so, or else if Accept rates text/html higher, as browsers
// do. Without a preference, as of curl, it is JSON.
func PrefersHTML(r *http.Request) bool {
	switch r.URL.Query().Get("format") {
	case "html":
		return true
	case "json":
		return false
	}
	accept := strings.Join(r.Header.Values("Accept"), ",")
	return quality(accept, "text/html") > quality(accept, "application/json")
}

// quality is how an Accept header rates a media type, from 0 (not accepted) to
// 1. The most specific range that matches counts (RFC 9110, 12.5.1); what is
// malformed does not, nor do parameters other than q.
func quality(accept, mediaType string) float64 {
	group, _, _ := strings.Cut(mediaType, "/")
	ranges := []string{"*/*", group + "/*", mediaType} // more and more specific
	best, rated := -1, 0.0
	for part := range strings.SplitSeq(accept, ",") {
		name, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if text, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil || !(0 <= q && q <= 1) {
				continue
			}
		}
		for i, r := range ranges {
			if name == r && (i > best || i == best && q > rated) {
				best, rated = i, q
			}
		}
	}
	return rated
}
