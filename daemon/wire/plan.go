package wire

import "github.com/boxkiln/boxkiln/daemon/build"

// ExplainRequest asks which stages builds of these plans would run. Nothing is built, and the contents of the files that
// the plans name need not have been sent.
type ExplainRequest struct {
	Plans []build.Plan `json:"plans"`
}

// ExplainReply explains plans, in their order.
type ExplainReply struct {
	Plans []Explanation `json:"plans"`
}

// Explanation lists the stages of a plan.
type Explanation struct {
	Label  string              `json:"label"`
	Stages []build.StageStatus `json:"stages"`
}
