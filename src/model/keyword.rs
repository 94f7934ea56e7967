//! Every keyword of plays, roles, blocks and tasks, in one table: where it may stand, and how it is inherited.

use crate::text::{Node, Spanned};

/// Where a keyword may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// On a play.
    Play,
    /// On an entry of `roles:`.
    Role,
    /// On a block.
    Block,
    /// On a task.
    Task,
    /// On a handler.
    Handler,
}

/// A keyword's row in the table.
#[derive(Clone, Copy, Debug)]
pub struct KeywordSpec {
    /// The keyword.
    pub keyword: Keyword,
    /// How it is written.
    pub name: &'static str,
    /// Where it may stand.
    pub levels: &'static [Level],
    /// What it does, for `rappel doc`.
    pub doc: &'static str,
}

macro_rules! keywords {
    ($($variant:ident $name:literal [$($level:ident)*] $doc:literal;)*) => {
        /// A word that plays, roles, blocks or tasks may carry beside their content.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Keyword { $(#[doc = $doc] $variant),* }

        impl Keyword {
            /// All keywords.
            pub const TABLE: &[KeywordSpec] = &[$(KeywordSpec { keyword: Self::$variant, name: $name, levels: &[$(Level::$level),*], doc: $doc }),*];
        }
    };
}

keywords! {
    Name "name" [Play Block Task Handler] "label shown in the output";
    Vars "vars" [Play Role Block Task Handler] "variables for everything below";
    When "when" [Role Block Task Handler] "condition, or a list of conditions that must all hold";
    Tags "tags" [Play Role Block Task Handler] "labels to select by `--tags` and `--skip-tags`";
    Become "become" [Play Role Block Task Handler] "act as another user";
    BecomeUser "become_user" [Play Role Block Task Handler] "the user to act as; `root` when not given";
    BecomeMethod "become_method" [Play Role Block Task Handler] "`sudo`, `su` or `doas`";
    BecomeFlags "become_flags" [Play Role Block Task Handler] "flags for the become program";
    BecomeExe "become_exe" [Play Role Block Task Handler] "path of the become program";
    Connection "connection" [Play Role Block Task Handler] "`ssh` or `local`";
    RemoteUser "remote_user" [Play Role Block Task Handler] "user to log in as";
    Port "port" [Play Role Block Task Handler] "port to connect to";
    Environment "environment" [Play Role Block Task Handler] "environment variables for programs that tasks start";
    NoLog "no_log" [Play Role Block Task Handler] "keep results and parameters out of every output";
    IgnoreErrors "ignore_errors" [Play Role Block Task Handler] "go on after a failure";
    IgnoreUnreachable "ignore_unreachable" [Play Role Block Task Handler] "go on when a host cannot be reached";
    AnyErrorsFatal "any_errors_fatal" [Play Role Block Task Handler] "a failure on one host stops all";
    CheckMode "check_mode" [Play Role Block Task Handler] "predict instead of act, or the opposite";
    Diff "diff" [Play Role Block Task Handler] "show what changes";
    RunOnce "run_once" [Play Role Block Task Handler] "run on the first host only, for all";
    Throttle "throttle" [Play Role Block Task Handler] "at most this many hosts at once";
    Timeout "timeout" [Play Role Block Task Handler] "seconds after which the task fails";
    DelegateTo "delegate_to" [Role Block Task Handler] "run on this host instead";
    DelegateFacts "delegate_facts" [Role Block Task Handler] "gathered facts belong to the delegate";
    ModuleDefaults "module_defaults" [Play Role Block Task Handler] "default parameters by module";
    Collections "collections" [Play Role Block Task Handler] "collections to look names up in";
    Debugger "debugger" [Play Role Block Task Handler] "not supported: there is no interactive debugger";
    Notify "notify" [Block Task Handler] "handlers to run when this changes something";
    Listen "listen" [Handler] "topics a handler answers to";
    Register "register" [Task Handler] "variable that takes the result";
    Loop "loop" [Task Handler] "list to run the task for";
    LoopControl "loop_control" [Task Handler] "label, index_var, loop_var, pause, extended, break_when";
    Until "until" [Task Handler] "repeat until this holds";
    Retries "retries" [Task Handler] "how often to repeat";
    Delay "delay" [Task Handler] "seconds between repetitions";
    ChangedWhen "changed_when" [Task Handler] "when the result counts as changed";
    FailedWhen "failed_when" [Task Handler] "when the result counts as failed";
    Args "args" [Task Handler] "more parameters of the module";
    Async "async" [Task Handler] "run in the background for at most this many seconds";
    Poll "poll" [Task Handler] "seconds between looks at a background task; 0 to leave it";
    Hosts "hosts" [Play] "pattern of the hosts to act on";
    GatherFacts "gather_facts" [Play] "whether to collect facts first";
    GatherSubset "gather_subset" [Play] "which facts to collect";
    GatherTimeout "gather_timeout" [Play] "seconds that collecting one fact may take";
    FactPath "fact_path" [Play] "directory of local facts";
    VarsFiles "vars_files" [Play] "files of variables";
    VarsPrompt "vars_prompt" [Play] "variables to ask for";
    Roles "roles" [Play] "roles to run, after pre_tasks";
    PreTasks "pre_tasks" [Play] "tasks before the roles";
    Tasks "tasks" [Play] "tasks after the roles";
    PostTasks "post_tasks" [Play] "tasks after `tasks`";
    Handlers "handlers" [Play] "tasks that run when notified";
    ForceHandlers "force_handlers" [Play] "run notified handlers also on hosts that failed";
    Serial "serial" [Play] "how many hosts at a time: number, percentage, or a list of them";
    Strategy "strategy" [Play] "`linear`, `free` or `host_pinned`";
    Order "order" [Play] "`inventory`, `sorted`, `reverse_inventory`, `reverse_sorted` or `shuffle`";
    MaxFailPercentage "max_fail_percentage" [Play] "stop when more than this share of the batch has failed";
    ValidateArgspec "validate_argspec" [Play] "check variables against the playbook's argument specification";
}

impl Keyword {
    /// How it is written.
    pub fn name(self) -> &'static str {
        Self::TABLE.iter().find(|row| row.keyword == self).map_or("", |row| row.name)
    }
}

/// The keywords that stand on one play, role entry, block or task, in the order written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Keywords(pub Vec<(Spanned<Keyword>, Node)>);

impl Keywords {
    /// What was written for `keyword`.
    pub fn get(&self, keyword: Keyword) -> Option<&Node> {
        self.0.iter().rev().find(|(found, _)| found.value == keyword).map(|(_, node)| node)
    }
}
