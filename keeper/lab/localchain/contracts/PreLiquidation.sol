// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

struct Params {
    address loanToken;
    address collateralToken;
    address oracle;
    address irm;
    uint256 lltv;
}

struct PreLiquidationParams {
    uint256 preLltv;
    uint256 preLCF1;
    uint256 preLCF2;
    uint256 preLIF1;
    uint256 preLIF2;
    address preLiquidationOracle;
}

interface IMorpho {
    function idToMarketParams(bytes32 id) external view returns (Params memory);
    function market(bytes32 id) external view returns (uint128, uint128, uint128, uint128, uint128, uint128);
    function position(bytes32 id, address user) external view returns (uint256, uint128, uint128);
    function accrueInterest(Params memory params) external;
    function repay(Params memory params, uint256 assets, uint256 shares, address onBehalf, bytes memory data)
        external
        returns (uint256, uint256);
    function withdrawCollateral(Params memory params, uint256 assets, address onBehalf, address receiver) external;
}

interface IOracle {
    function price() external view returns (uint256);
}

interface IToken {
    function approve(address spender, uint256 amount) external returns (bool);
    function transferFrom(address from, address to, uint256 amount) external returns (bool);
}

/// Our own stand-in for Morpho's pre-liquidation contract, which npm does not have: its published interface, order of
/// checks and roundings, and nothing else. It does not call its caller back (`data` is ignored). For local chains only.
///
/// Between two loan-to-values of a borrower who authorised it on Morpho, anyone may repay a share of the debt and be
/// given collateral for it; that share, and what is given, grow linearly with the loan to value.
contract PreLiquidation {
    error NonexistentMarket();
    error PreLltvTooHigh();
    error PreLCFDecreasing();
    error PreLCFTooHigh();
    error PreLIFTooLow();
    error PreLIFDecreasing();
    error PreLIFTooHigh();
    error InconsistentInput();
    error LiquidatablePosition();
    error NotPreLiquidatablePosition();
    error PreLiquidationTooLarge(uint256 repaidShares, uint256 repayableShares);
    error NotMorpho();

    event PreLiquidate(
        bytes32 indexed id,
        address indexed preLiquidator,
        address indexed borrower,
        uint256 repaidAssets,
        uint256 repaidShares,
        uint256 seizedAssets
    );

    struct Look {
        uint256 price;
        uint256 debtAssets;
        uint256 debtShares;
        uint256 borrowShares;
        uint256 quotient;
    }

    uint256 private constant ONE = 1e18;
    uint256 private constant PRICE_SCALE = 1e36;

    IMorpho public immutable MORPHO;
    bytes32 public immutable ID;
    Params private market;
    PreLiquidationParams private terms;

    constructor(IMorpho morpho, bytes32 id, PreLiquidationParams memory wanted) {
        Params memory params = morpho.idToMarketParams(id);
        if (params.lltv == 0) revert NonexistentMarket();
        if (wanted.preLltv >= params.lltv) revert PreLltvTooHigh();
        if (wanted.preLCF1 > wanted.preLCF2) revert PreLCFDecreasing();
        if (wanted.preLCF1 > ONE) revert PreLCFTooHigh();
        if (wanted.preLIF1 < ONE) revert PreLIFTooLow();
        if (wanted.preLIF1 > wanted.preLIF2) revert PreLIFDecreasing();
        if (wanted.preLIF2 > down(ONE, ONE, params.lltv)) revert PreLIFTooHigh();
        (MORPHO, ID, market, terms) = (morpho, id, params, wanted);
        IToken(params.loanToken).approve(address(morpho), type(uint256).max);
    }

    function marketParams() external view returns (Params memory) {
        return market;
    }

    function preLiquidationParams() external view returns (PreLiquidationParams memory) {
        return terms;
    }

    function preLiquidate(address borrower, uint256 seized, uint256 shares, bytes calldata)
        external
        returns (uint256, uint256)
    {
        if ((seized == 0) == (shares == 0)) revert InconsistentInput();
        MORPHO.accrueInterest(market);
        (seized, shares) = sized(look(borrower), seized, shares);
        (uint256 repaid,) = MORPHO.repay(market, 0, shares, borrower, abi.encode(seized, borrower, msg.sender));
        emit PreLiquidate(ID, msg.sender, borrower, repaid, shares, seized);
        return (seized, repaid);
    }

    /// Morpho calls this when the debt is reduced and not yet paid: the collateral goes out first, then the payment in.
    function onMorphoRepay(uint256 repaid, bytes calldata data) external {
        if (msg.sender != address(MORPHO)) revert NotMorpho();
        (uint256 seized, address borrower, address payer) = abi.decode(data, (uint256, address, address));
        MORPHO.withdrawCollateral(market, seized, borrower, payer);
        require(IToken(market.loanToken).transferFrom(payer, address(this), repaid), "transfer refused");
    }

    /// Where the borrower stands after an accrual, refused outside of the zone. Totals carry their virtual units.
    function look(address borrower) private view returns (Look memory found) {
        (,, uint256 assets, uint256 allShares,,) = MORPHO.market(ID);
        (, uint256 borrowShares, uint256 collateral) = MORPHO.position(ID, borrower);
        found.price = IOracle(terms.preLiquidationOracle).price();
        (found.debtAssets, found.debtShares, found.borrowShares) = (assets + 1, allShares + 1e6, borrowShares);
        uint256 value = down(collateral, found.price, PRICE_SCALE);
        uint256 debt = up(borrowShares, found.debtAssets, found.debtShares);
        if (debt > down(value, market.lltv, ONE)) revert LiquidatablePosition();
        if (debt <= down(value, terms.preLltv, ONE)) revert NotPreLiquidatablePosition();
        found.quotient = down(up(debt, ONE, value) - terms.preLltv, ONE, market.lltv - terms.preLltv);
    }

    /// The amount that was not asked for, at the incentive of where the borrower stands, if the close factor lets it.
    function sized(Look memory at, uint256 seized, uint256 shares) private view returns (uint256, uint256) {
        uint256 factor = down(at.quotient, terms.preLIF2 - terms.preLIF1, ONE) + terms.preLIF1;
        if (seized != 0) {
            shares = up(up(up(seized, at.price, PRICE_SCALE), ONE, factor), at.debtShares, at.debtAssets);
        } else {
            seized = down(down(down(shares, at.debtAssets, at.debtShares), factor, ONE), PRICE_SCALE, at.price);
        }
        uint256 share = down(at.quotient, terms.preLCF2 - terms.preLCF1, ONE) + terms.preLCF1;
        uint256 repayable = down(at.borrowShares, share, ONE);
        if (shares > repayable) revert PreLiquidationTooLarge(shares, repayable);
        return (seized, shares);
    }

    function down(uint256 value, uint256 factor, uint256 divisor) private pure returns (uint256) {
        return value * factor / divisor;
    }

    function up(uint256 value, uint256 factor, uint256 divisor) private pure returns (uint256) {
        return (value * factor + (divisor - 1)) / divisor;
    }
}
