// SPDX-License-Identifier: Apache-2.0
//! The one table of error codes, and the categories they fall into.
//!
//! Numbers are stable for ever; the number of a retired code is never used again. `cargo xtask gen` writes the
//! language parts of this table, so a code is added here and nowhere else.

/// What kind of thing went wrong. Every binding has one error class per category.
///
/// Deliberately exhaustive: a new category has to break the build of each binding, not its users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Category {
    /// The call itself is wrong: fix the program or its configuration.
    Usage,
    /// A server could not be reached or did not answer in time.
    Connect,
    /// A server answered that it will not do it.
    Broker,
    /// Too much at once: slow down and try again.
    Flow,
    /// Credentials are missing or do not suffice.
    Auth,
    /// A defect or an unusable environment.
    Internal,
}

impl Category {
    /// Every category.
    pub const ALL: &'static [Self] = &[
        Self::Usage,
        Self::Connect,
        Self::Broker,
        Self::Flow,
        Self::Auth,
        Self::Internal,
    ];

    /// Name in upper case, as the generated tables spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Usage => "USAGE",
            Self::Connect => "CONNECT",
            Self::Broker => "BROKER",
            Self::Flow => "FLOW",
            Self::Auth => "AUTH",
            Self::Internal => "INTERNAL",
        }
    }
}

/// Whether doing the same again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// No: the same call will fail the same way.
    No,
    /// Yes, after a pause.
    Again,
    /// Yes, and another broker may answer at once.
    OtherBroker,
}

/// One row of the table of error codes.
#[derive(Clone, Copy, Debug)]
pub struct ErrorCodeInfo {
    /// The code.
    pub code: ErrorCode,
    /// Stable number.
    pub number: u16,
    /// Name in upper case: `TIMEOUT`.
    pub name: &'static str,
    /// Its category.
    pub category: Category,
    /// Whether trying again can help.
    pub retry: Retry,
    /// What happened, in one sentence.
    pub doc: &'static str,
    /// What to do next, in one sentence.
    pub hint: &'static str,
}

macro_rules! error_codes {
    ($($number:literal $variant:ident $name:ident $category:ident $retry:ident $doc:literal $hint:literal;)*) => {
        /// Why an operation failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u16)]
        pub enum ErrorCode {
            $(#[doc = $doc] $variant = $number,)*
        }

        impl ErrorCode {
            /// Every code, in ascending order of numbers.
            pub const ALL: &'static [ErrorCodeInfo] = &[
                $(ErrorCodeInfo {
                    code: Self::$variant,
                    number: $number,
                    name: stringify!($name),
                    category: Category::$category,
                    retry: Retry::$retry,
                    doc: $doc,
                    hint: $hint,
                },)*
            ];

            /// The row of this code.
            pub const fn info(self) -> &'static ErrorCodeInfo {
                match self {
                    $(Self::$variant => const { &ErrorCodeInfo {
                        code: Self::$variant,
                        number: $number,
                        name: stringify!($name),
                        category: Category::$category,
                        retry: Retry::$retry,
                        doc: $doc,
                        hint: $hint,
                    } },)*
                }
            }
        }
    };
}

error_codes! {
    1 InvalidArgument INVALID_ARGUMENT Usage No
        "an argument has a value that is not allowed"
        "the message names the argument and what is allowed";
    2 InvalidOption INVALID_OPTION Usage No
        "an option has a value that is not allowed"
        "the message names the option and what is allowed";
    3 UnknownOption UNKNOWN_OPTION Usage No
        "there is no option of that name"
        "option names are snake_case with units, for example send_timeout_ms";
    4 InvalidTopic INVALID_TOPIC Usage No
        "the topic name is not allowed"
        "use 1 to 127 characters out of A-Z a-z 0-9 _ - % |, and no system topic";
    5 InvalidGroup INVALID_GROUP Usage No
        "the group name is not allowed"
        "use 1 to 120 characters out of A-Z a-z 0-9 _ - % |";
    6 MessageTooLarge MESSAGE_TOO_LARGE Usage No
        "the message body is larger than the limit"
        "send a smaller body, or raise max_message_bytes here and maxMessageSize on the broker";
    7 EmptyBody EMPTY_BODY Usage No
        "the message body is empty"
        "send at least one byte";
    8 InvalidMessage INVALID_MESSAGE Usage No
        "a part of the message can not be sent"
        "the message names the property or key and what is allowed";
    9 InvalidBatch INVALID_BATCH Usage No
        "these messages can not form one batch"
        "a batch has at least one message, one topic, no delay and no retry topic";
    10 Closed CLOSED Usage No
        "the client has been closed"
        "start a new one";
    11 QueueNotAssigned QUEUE_NOT_ASSIGNED Usage No
        "the queue is not assigned to this consumer"
        "call assign with it first";
    12 DuplicateGroup DUPLICATE_GROUP Usage No
        "this client id already has a member of that group"
        "use another group, or give each its own instance_name";
    13 UnknownDelivery UNKNOWN_DELIVERY Usage No
        "there is no outstanding delivery with that id"
        "complete each delivery once, and on the consumer that it came from";
    14 InvalidSubscription INVALID_SUBSCRIPTION Usage No
        "the subscription expression is not usable"
        "use * or tags joined by ||";
    15 Forked FORKED Usage No
        "the process has forked and this handle belongs to the parent"
        "start a new client in the child process";
    16 WouldDeadlock WOULD_DEADLOCK Usage No
        "a blocking call was made on a thread that it would wait for"
        "callbacks run on kerolox-io threads: use the asynchronous form there";
    17 Cancelled CANCELLED Usage No
        "the call was cancelled"
        "what had already been sent is not undone";
    18 InvalidQueue INVALID_QUEUE Usage No
        "the topic has no such queue"
        "ask for the queues of the topic first";

    100 ConnectFailed CONNECT_FAILED Connect OtherBroker
        "no connection could be made"
        "check that the server runs at that address and that no firewall is between";
    101 ConnectionLost CONNECTION_LOST Connect OtherBroker
        "the connection broke before the answer came"
        "the outcome is unknown: check before repeating what must not happen twice";
    102 Timeout TIMEOUT Connect OtherBroker
        "no answer came before the deadline"
        "raise the time-out or look at the load of the server; the outcome is unknown";
    103 NoNameServer NO_NAME_SERVER Connect No
        "no name server is configured"
        "set name_servers to host:port, or the environment variable NAMESRV_ADDR";
    104 NameServerUnreachable NAME_SERVER_UNREACHABLE Connect Again
        "none of the name servers answered"
        "check that one runs at the addresses in name_servers";
    105 NoRoute NO_ROUTE Connect Again
        "the name server knows no broker for the topic"
        "create the topic, or let the broker create it (autoCreateTopicEnable), and check that a broker is registered";
    106 BrokerNotFound BROKER_NOT_FOUND Connect Again
        "the route names no address for the broker"
        "check that a master of that name is registered at the name server";
    107 Protocol PROTOCOL Connect No
        "the peer sent bytes that are not RocketMQ's protocol"
        "check that the address and the port belong to a RocketMQ server";

    200 BrokerError BROKER_ERROR Broker No
        "the server answered with an error"
        "the message carries the server's own text and its code";
    201 SystemError SYSTEM_ERROR Broker OtherBroker
        "the server failed while handling the request"
        "the message carries the server's own text; its log has more";
    202 RequestNotSupported REQUEST_NOT_SUPPORTED Broker No
        "the server does not know this request"
        "the server is older than the feature, or the address is not a broker's";
    203 ServiceNotAvailable SERVICE_NOT_AVAILABLE Broker OtherBroker
        "the broker does not serve at the moment"
        "it may be shutting down, out of disk space, or a slave";
    204 NoPermission NO_PERMISSION Broker OtherBroker
        "the broker forbids it"
        "check the permissions of the topic, the group and the broker";
    205 TopicNotExist TOPIC_NOT_EXIST Broker OtherBroker
        "the broker does not know the topic"
        "create the topic on every broker of the cluster";
    206 MessageIllegal MESSAGE_ILLEGAL Broker No
        "the broker refused the message"
        "look at the size of body and properties, and at the broker's maxMessageSize";
    207 SubscriptionNotExist SUBSCRIPTION_NOT_EXIST Broker Again
        "the broker does not know the subscription of the group"
        "all members of a group have to subscribe to the same topics";
    208 SubscriptionNotLatest SUBSCRIPTION_NOT_LATEST Broker Again
        "the broker has an older subscription of the group"
        "try again: the next heartbeat brings the new one";
    209 GroupNotExist GROUP_NOT_EXIST Broker No
        "the broker does not know the group"
        "create the subscription group, or let the broker do so (autoCreateSubscriptionGroup)";
    210 InvalidParameter INVALID_PARAMETER Broker No
        "the broker refused a parameter"
        "the message carries the broker's own text";
    211 NotFound NOT_FOUND Broker No
        "the server has nothing of that name"
        "check the name";
    212 SubscriptionParseFailed SUBSCRIPTION_PARSE_FAILED Broker No
        "the broker can not parse the subscription expression"
        "use * or tags joined by ||";
    213 GoAway GO_AWAY Broker Again
        "the broker is shutting down and asked to connect again"
        "try again";

    300 BrokerBusy BROKER_BUSY Flow OtherBroker
        "the broker is too busy"
        "slow down and try again; other brokers may have room";
    301 TooManyRequests TOO_MANY_REQUESTS Flow Again
        "too many requests are outstanding on the connection"
        "wait for some of them to finish";

    400 Unauthorized UNAUTHORIZED Auth No
        "the credentials are missing or wrong"
        "check access key and secret";

    900 Internal INTERNAL Internal No
        "a defect of this library"
        "please report it with the whole message";
    901 Panic PANIC Internal No
        "a defect of this library ended in a panic"
        "please report it with what was printed on standard error";
    902 Io IO Internal No
        "a local file or directory could not be used"
        "the message names it: check that it exists and is writable";
    903 Runtime RUNTIME Internal No
        "the threads of the client could not be started"
        "check the limits of the process";
}

impl ErrorCode {
    /// Stable number.
    pub const fn number(self) -> u16 {
        self.info().number
    }

    /// Name in upper case.
    pub const fn name(self) -> &'static str {
        self.info().name
    }

    /// Its category.
    pub const fn category(self) -> Category {
        self.info().category
    }

    /// What happened, in one sentence.
    pub const fn doc(self) -> &'static str {
        self.info().doc
    }

    /// What to do next, in one sentence.
    pub const fn hint(self) -> &'static str {
        self.info().hint
    }

    /// Whether trying again can help.
    pub const fn retry(self) -> Retry {
        self.info().retry
    }

    /// The code of a stable number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|info| info.number == number)
            .map(|info| info.code)
    }

    /// The code that stands for a response code of a server.
    pub fn from_response(code: i32) -> Self {
        match code {
            1 => Self::SystemError,
            2 | 215 => Self::BrokerBusy,
            3 => Self::RequestNotSupported,
            13 => Self::MessageIllegal,
            14 => Self::ServiceNotAvailable,
            16 => Self::NoPermission,
            17 => Self::TopicNotExist,
            22 => Self::NotFound,
            23 => Self::SubscriptionParseFailed,
            24 => Self::SubscriptionNotExist,
            25 => Self::SubscriptionNotLatest,
            26 => Self::GroupNotExist,
            29 => Self::InvalidParameter,
            1500 => Self::GoAway,
            _ => Self::BrokerError,
        }
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
