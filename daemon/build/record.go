package build

// Record is one row of the list of builds.
type Record struct {
	ID       ID     `json:"id"`
	Run      string `json:"run"`
	Label    string `json:"label"`
	Template string `json:"template"`
	Box      string `json:"box,omitempty"`
	Version  string `json:"version,omitempty"`
	State    State  `json:"state"`
	Attempt  int    `json:"attempt"`
	Step     string `json:"step,omitempty"`
	Error    string `json:"error,omitempty"`
	Needs    Needs  `json:"needs"`
	// Parallel is how many builds of the run may run at once; 0 for any number.
	Parallel int   `json:"parallel,omitempty"`
	Created  Stamp `json:"created"`
	Started  Stamp `json:"started"`
	Finished Stamp `json:"finished"`
}

// StepRecord is one step of an attempt.
type StepRecord struct {
	Name    string    `json:"name"`
	Attempt int       `json:"attempt"`
	Phase   StepPhase `json:"phase"`
	Began   Stamp     `json:"began"`
	Seconds float64   `json:"seconds"`
}
