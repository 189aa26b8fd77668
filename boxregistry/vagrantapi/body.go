package vagrantapi

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// bodyLimit is how many bytes a description and what belongs to it may have.
const bodyLimit = 1 << 20

// readBody decodes what the request says of a T. Clients wrap it into an object under a name, or do not
// (vagrant_cloud 3.0 to 3.1.2 send boxes flat, 3.1.3 below "box"), and those before 3.0 write it as a form: all are taken.
func readBody[T any](r request, wrapper string) (out T, err error) {
	data, err := io.ReadAll(http.MaxBytesReader(r.Writer, r.Request.Body, bodyLimit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return out, refuse(http.StatusRequestEntityTooLarge, "The request is larger than %d bytes; shorten the description.", bodyLimit)
	case err != nil:
		return out, refuse(http.StatusBadRequest, "The request could not be read to its end: %v", err)
	}
	if kind, _, _ := mime.ParseMediaType(r.ContentType()); kind == "application/x-www-form-urlencoded" {
		data = formAsJSON(string(data))
	}
	if len(data) == 0 {
		return out, nil
	}
	var wrapped map[string]json.RawMessage
	if err := json.Unmarshal(data, &wrapped); err != nil {
		return out, refuse(http.StatusBadRequest, "The request is no JSON object: %v", err)
	}
	if inner := wrapped[wrapper]; len(inner) > 0 && inner[0] == '{' {
		data = inner
	}
	var kind *json.UnmarshalTypeError
	err = json.Unmarshal(data, &out)
	if errors.As(err, &kind) {
		return out, refuse(http.StatusBadRequest, "The field %q of the request cannot be a %s.", kind.Field, kind.Value)
	}
	return out, err
}

// formAsJSON turns "box[name]=a&token=b" into {"box":{"name":"a"},"token":"b"}.
func formAsJSON(form string) []byte {
	values, err := url.ParseQuery(form)
	if err != nil {
		return []byte("the form is not well encoded")
	}
	out := map[string]any{}
	for key := range values {
		outer, inner, nested := strings.Cut(strings.TrimSuffix(key, "]"), "[")
		if !nested {
			out[key] = values.Get(key)
			continue
		}
		object, ok := out[outer].(map[string]any)
		if !ok {
			object = map[string]any{}
			out[outer] = object
		}
		object[inner] = values.Get(key)
	}
	data, _ := json.Marshal(out) // maps of strings always can
	return data
}

// flag is a boolean as JSON or a form writes it.
type flag bool

// UnmarshalJSON implements json.Unmarshaler.
func (f *flag) UnmarshalJSON(data []byte) error {
	switch strings.ToLower(strings.Trim(string(data), `"`)) {
	case "true", "1":
		*f = true
	case "false", "0", "", "null":
		*f = false
	default:
		return refuse(http.StatusBadRequest, "%s is neither true nor false", data)
	}
	return nil
}

// boxBody is what a client says of a box; what is null or left out stays as it is.
type boxBody struct {
	Username         string  `json:"username"`
	Name             string  `json:"name"`
	ShortDescription *string `json:"short_description"`
	Description      *string `json:"description"`
	Private          *flag   `json:"is_private"`
}

// versionBody is what a client says of a version.
type versionBody struct {
	Version     string  `json:"version"`
	Description *string `json:"description"`
}

// providerBody is what a client says of a file.
type providerBody struct {
	Name                string `json:"name"`
	URL                 string `json:"url"`
	Checksum            string `json:"checksum"`
	ChecksumType        string `json:"checksum_type"`
	Architecture        string `json:"architecture"`
	DefaultArchitecture flag   `json:"default_architecture"`
}

// loginBody is what "vagrant cloud auth login" sends. The code of a second factor is not read: there is none.
type loginBody struct {
	User struct {
		Login    string `json:"login"`
		Password string `json:"password"`
	} `json:"user"`
	Token struct {
		Description string `json:"description"`
	} `json:"token"`
}
