package boxregistry

// Facets are what a list of boxes can be narrowed by: what its boxes have, each list sorted.
type Facets struct {
	Orgs          []string
	Providers     []Provider     // of the newest versions
	Architectures []Architecture // likewise
}
